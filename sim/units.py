"""Quantities with units, as people write them in YAML: ``20 ms``, ``1 Gbit/s``, ``512 KiB``.

The only module that knows pint. Inside the code everything is SI seconds, joules and watts, bytes for
sizes, bit/s for rates; a bare number where a dimension is due is an error.
"""

import math
import re
from decimal import Decimal, InvalidOperation
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
UNIT = re.compile(r'(/ ?)?[A-Za-zµ]{1,20}( ?/ ?[A-Za-zµ]{1,20})?')  # nothing that pint would have to calculate


class UnitError(ValueError):
    """A text that is not a quantity of the wanted dimension; the message says what to write."""


SPELLED = {'second': 's', 'byte': 'B', 'bit / second': 'bit/s', '1 / second': '/ s', 'hertz': 'Hz', 'joule': 'J',
           'watt': 'W'}



@lru_cache(maxsize=1)
def _registry() -> 'pint.UnitRegistry[Decimal]':
    return pint.UnitRegistry(non_int_type=Decimal, cache_folder=None)  # 20 us is 2e-05 s, not 1.9999999999999998e-05


@lru_cache(maxsize=256)
def _factor(unit_text: str, unit: str) -> Decimal:
    """Return how many of one unit another one is: asked for once, as pint takes longer than all the rest."""
    factor: Decimal = _registry().parse_expression(f'1 {unit_text}').to(unit).magnitude
    return factor


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
    write = f"write {a(dimension)}, e.g. '{example}'"
    number_text, _, unit_text = text.strip().partition(' ')
    try:
        number = Decimal(number_text)
    except InvalidOperation:
        raise UnitError(f"'{text}' is not {a(dimension)}; write number, space and unit, e.g. '{example}'") from None
    if not number.is_finite():
        raise UnitError(f"'{text}' is not finite; {write}")
    if not unit_text:
        raise UnitError(f"'{text}' has no unit; {write}")
    try:
        if not UNIT.fullmatch(unit_text):
            raise ValueError(unit_text)
        value = float(number * _factor(unit_text, unit)) + 0.0  # a negative zero is zero
    except pint.DimensionalityError:
        raise UnitError(f"'{text}' is not {a(dimension)}; write it like '{example}'") from None
    except ArithmeticError:
        raise UnitError(f"'{text}' is too large or too small; {write}") from None
    except (pint.PintError, ValueError, AttributeError):
        raise UnitError(f"'{text}' has the unknown unit '{unit_text}'; {write}") from None
    if dimension == 'size' and 'bit' in unit_text:
        raise UnitError(f"'{text}' is in bits; write bytes, e.g. '{example}'")
    if not math.isfinite(value):
        raise UnitError(f"'{text}' is too large; {write}")
    return value


def a(dimension: str) -> str:
    """Return a dimension with its article."""
    return f'{"an" if dimension[0] in "aeiou" else "a"} {dimension}'


def spell(value: float, dimension: str) -> str:
    """Write a quantity in the code's own unit, so that reading it back gives the same float."""
    return f'{value!r} {SPELLED[DIMENSIONS[dimension][0]]}'
