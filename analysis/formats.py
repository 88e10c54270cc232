"""Numbers as people read them: three digits, the prefix that suits, a dash for none. For the terminal and the pages."""

import math
from collections.abc import Sequence

NONE = '—'
TIMES = ((7200.0, 3600.0, 'h'), (120.0, 60.0, 'min'), (1.0, 1.0, 's'), (1e-3, 1e-3, 'ms'), (0.0, 1e-6, 'µs'))
SIZES = ((1e12, 1e12, 'TB'), (1e9, 1e9, 'GB'), (1e6, 1e6, 'MB'), (1e3, 1e3, 'kB'), (0.0, 1.0, 'B'))
ENERGIES = ((1e6, 1e6, 'MJ'), (1e4, 1e3, 'kJ'), (1.0, 1.0, 'J'), (1e-3, 1e-3, 'mJ'), (0.0, 1e-6, 'µJ'))
POWERS = ((1e3, 1e3, 'kW'), (1.0, 1.0, 'W'), (1e-3, 1e-3, 'mW'), (1e-6, 1e-6, 'µW'), (0.0, 1e-9, 'nW'))
LEAST = 1e-3  # of what is written; less is written as being less


def spell(value: float | None, unit: str) -> str:
    """Write a value of a summary's unit: s, B, J, W, d, '1' for a share; anything else is a count."""
    match unit:
        case 's':
            return seconds(value)
        case 'B':
            return n_bytes(value)
        case 'J':
            return energy(value)
        case 'W':
            return _scaled(value, POWERS, 'W')
        case 'd':
            return days(value)
        case '1':
            return share(value)
    return count(value)


def seconds(value: float | None) -> str:
    """Write a duration with the unit that suits it."""
    return _scaled(value, TIMES, 's')


def n_bytes(value: float | None) -> str:
    """Write a size with the unit that suits it."""
    return _scaled(value, SIZES, 'B')


def energy(value: float | None) -> str:
    """Write joules with the prefix that suits them."""
    return _scaled(value, ENERGIES, 'J')


def share(value: float | None) -> str:
    """Write a ratio as a percentage."""
    return NONE if value is None or math.isnan(value) else f'{digits(100 * value)} %'


def days(value: float | None) -> str:
    """Write what a battery lasts."""
    return NONE if value is None or math.isnan(value) else f'{digits(value)} days'


def count(value: float | None) -> str:
    """Write a number of things; a mean of several runs may be broken."""
    if value is None or math.isnan(value):
        return NONE
    return f'{value:,.0f}' if float(value).is_integer() else digits(value)


def digits(value: float) -> str:
    """Write a number with three digits and without an exponent."""
    if math.isinf(value):
        return '∞' if value > 0 else '-∞'
    rounded = float(f'{value:.3g}')
    if 0 < abs(rounded) < LEAST:
        return f'<{LEAST}' if value > 0 else f'>-{LEAST}'
    size = abs(rounded)
    places = 0 if size >= 100 or size == 0 else 2 - math.floor(math.log10(size))
    text = f'{rounded:,.{places}f}'
    return text.rstrip('0').rstrip('.') if '.' in text else text


def _scaled(value: float | None, scale: Sequence[tuple[float, float, str]], base: str) -> str:
    """Write a value in the first unit whose limit it reaches, once it is rounded."""
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        return digits(value)
    rounded = float(f'{value:.3g}')
    if rounded == 0:
        return f'0 {base}'
    divisor, unit = next((divisor, unit) for least, divisor, unit in scale if abs(rounded) >= least)
    return f'{digits(rounded / divisor)} {unit}'
