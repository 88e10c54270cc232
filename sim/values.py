"""The values of a scenario's keys: texts with units in YAML, SI numbers in the code, within bounds.

A type here says what is accepted, how it is written again, and how a JSON Schema describes it.
"""

import re
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from sim.units import DIMENSIONS, a, quantity, spell
from sim.wire import PRIORITIES_MAX

USAGE_MAX = 1 << 54  # B under one key: SP 800-232 §4.3, for Ascon-AEAD128
RUN_S_MAX = 1e9  # thirty years; beyond, a float is coarser than a microsecond's tenth
CORES_MAX = 1_024  # of one computer
SIZE_MAX = 1 << 40  # 1 TiB: a hospital's whole archive of images is as large
HOURLY_MAX = 1e6  # multipliers of a rate that floats can add up over a day
NAME = r'^[a-z0-9]+(-[a-z0-9]+)*$'


@dataclass(frozen=True)
class Quantity:
    """Marks a value with a unit: a text in YAML, SI in the code. Use in ``Annotated[float, Quantity('time')]``."""

    dimension: str
    may_be_zero: bool = False

    def read(self, text: object) -> float:
        """Return the value of a text."""
        example = DIMENSIONS[self.dimension][1]
        if not isinstance(text, str):
            raise ValueError(f"'{text}' has no unit; write {a(self.dimension)}, e.g. '{example}'")
        value = quantity(text, self.dimension)
        if value < 0 or (value == 0 and not self.may_be_zero):
            raise ValueError(f"'{text}' must be {'zero or more' if self.may_be_zero else 'positive'}; correct it")
        return value

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate and serialise through `read` and `units.spell`."""
        return core_schema.no_info_before_validator_function(
            self.read, handler(source), serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: value if value is None else spell(value, self.dimension)))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the text."""
        return {'type': 'string', 'pattern': r'^[0-9.eE+-]+ \S.*$', 'examples': [DIMENSIONS[self.dimension][1]],
                'description': f'{a(self.dimension)} with its unit'}


def _size(value: object, n_bytes_max: int = SIZE_MAX) -> int:
    if not isinstance(value, str):
        raise ValueError(f"'{value}' has no unit; write a size, e.g. '4 KiB'")
    n_bytes = quantity(value, 'size')
    if n_bytes < 1 or n_bytes != int(n_bytes):
        raise ValueError(f"'{value}' must be a whole number of bytes, at least 1 B; correct it")
    if n_bytes > n_bytes_max:
        raise ValueError(f"'{value}' is too large; take at most {n_bytes_max >> 40} TiB")
    return int(n_bytes)


def _time_of_day(text: object) -> float:
    found = re.fullmatch(r'([01]?[0-9]|2[0-3]):([0-5][0-9])', text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"'{text}' is not a time of day; write it in quotes, e.g. '08:00'")
    return 3600.0 * int(found[1]) + 60.0 * int(found[2])


def _some_hour(by_hour: tuple[float, ...]) -> tuple[float, ...]:
    if not any(by_hour):
        raise ValueError('is zero at every hour, and at least one must be positive; leave the stream out')
    if any(0 < hour < 1 / HOURLY_MAX or hour > HOURLY_MAX for hour in by_hour):
        raise ValueError(f'holds a multiplier that is neither 0 nor between {1 / HOURLY_MAX:g} and {HOURLY_MAX:g}; '
                         'correct it')
    return by_hour


Time = Annotated[float, Quantity('time')]
Delay = Annotated[float, Quantity('time', may_be_zero=True)]
Rate = Annotated[float, Quantity('rate')]
Frequency = Annotated[float, Quantity('frequency')]
Energy = Annotated[float, Quantity('energy')]
Size = Annotated[int, BeforeValidator(_size), PlainSerializer(lambda n: f'{n} B', return_type=str),
                 WithJsonSchema({'type': 'string', 'examples': ['4 KiB'], 'description': 'a size with its unit'})]
Usage = Annotated[int, BeforeValidator(partial(_size, n_bytes_max=USAGE_MAX)),
                  PlainSerializer(lambda n: f'{n} B', return_type=str),
                  WithJsonSchema({'type': 'string', 'examples': ['64 MiB'], 'description': 'a size with its unit'})]
TimeOfDay = Annotated[
    float, BeforeValidator(_time_of_day),
    PlainSerializer(lambda s: f'{int(s // 3600):02d}:{int(s % 3600 // 60):02d}', return_type=str),
    WithJsonSchema({'type': 'string', 'pattern': r'^\d{1,2}:\d{2}$', 'examples': ['08:00']})]
Name = Annotated[str, Field(pattern=NAME, max_length=40)]
Ratio = Annotated[float, Field(ge=0.0, lt=1.0)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]
Priority = Annotated[int, Field(ge=0, lt=PRIORITIES_MAX)]
ByHour = Annotated[tuple[Annotated[float, Field(ge=0.0)], ...], Field(min_length=24, max_length=24, strict=False),
                   AfterValidator(_some_hour)]
Arrival = Annotated[tuple[Annotated[int, Field(ge=0)], Delay], Field(strict=False)]
Arrivals = Annotated[  # by its rows; `sim.loading` puts them in the place of a file's name
    tuple[Arrival, ...], Field(strict=False), WithJsonSchema({'anyOf': [{'type': 'string'}, {
        'type': 'array', 'items': {'type': 'array', 'prefixItems': [{'type': 'integer'}, {'type': 'string'}],
                                   'minItems': 2, 'maxItems': 2}}]})]
