"""Quantities with units, as people write them in YAML: ``20 ms``, ``1 Gbit/s``, ``512 KiB``.

The only module that knows pint. Inside the code everything is SI seconds, joules and watts, bytes for
sizes, bit/s for rates; a bare number where a dimension is due is an error.
"""

import math
from functools import lru_cache

import pint

# Dimension -> (unit the code works in, an example for the error message).
DIMENSIONS = {
    'time': ('second', '20 ms'),
    'size': ('byte', '4 KiB'),
    'rate': ('bit / second', '100 Mbit/s'),
    'frequency': ('1 / second', '0.5 / min'),
    'clock': ('hertz', '1.8 GHz'),
    'energy': ('joule', '0.8 Wh'),
    'power': ('watt', '2.7 W'),
}


class UnitError(ValueError):
    """A text that is not a quantity of the wanted dimension; the message says what to write."""


@lru_cache(maxsize=1)
def _registry() -> pint.UnitRegistry:
    return pint.UnitRegistry(cache_folder=None)


@lru_cache(maxsize=4096)
def quantity(text: str, dimension: str) -> float:
    """Read one quantity and return it in the code's unit for its dimension.

    Parameters
    ----------
    text
        A number, a space and a unit, e.g. ``'20 ms'``.
    dimension
        A key of `DIMENSIONS`.

    Raises
    ------
    UnitError
        If the text has no unit, another dimension, or is not a finite number.
    """
    unit, example = DIMENSIONS[dimension]
    words = text.strip().split(' ', 1)
    try:
        number = float(words[0])
    except ValueError:
        raise UnitError(f"'{text}' is not a {dimension}; write a number, a space and a unit, e.g. '{example}'") from None
    if not math.isfinite(number):
        raise UnitError(f"'{text}' is not finite; write a {dimension}, e.g. '{example}'")
    if len(words) == 1:
        raise UnitError(f"'{text}' has no unit; write a {dimension}, e.g. '{example}'")
    registry = _registry()
    try:
        wanted = registry.parse_units(unit)
        given = registry.parse_units(words[1].replace('/ ', '/').replace(' /', '/').replace('1/', '1 / ').lstrip('/'))
        if words[1].lstrip().startswith('/'):
            given = registry.Unit('dimensionless') / given
        ratio = float((1 * given).to(wanted).magnitude)
    except pint.DimensionalityError:
        raise UnitError(f"'{text}' is not a {dimension}; write it like '{example}'") from None
    except (pint.UndefinedUnitError, pint.DefinitionSyntaxError, ValueError, AttributeError, TypeError):
        raise UnitError(f"'{text}' has the unknown unit '{words[1]}'; write a {dimension}, e.g. '{example}'") from None
    if dimension == 'size' and 'bit' in words[1] and 'byte' not in words[1]:
        raise UnitError(f"'{text}' is in bits; sizes are in bytes, e.g. '{example}'")
    return number * ratio


def spell(value: float, dimension: str) -> str:
    """Write a quantity in the code's own unit, so that reading it back gives the same float."""
    unit = {'second': 's', 'byte': 'B', 'bit / second': 'bit/s', '1 / second': '/ s', 'hertz': 'Hz',
            'joule': 'J', 'watt': 'W'}[DIMENSIONS[dimension][0]]
    return f'{value!r} {unit}'
