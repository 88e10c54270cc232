"""The format of a profile's file: what is accepted, within bounds that keep later arithmetic finite.

The format is described in ``scenarios/profiles/README.md``. Quantities stay text here; `sim.profiles` turns
them into SI numbers and may take for granted whatever this module and `sim.profile_reading` have checked.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)

from sim import wire
from sim.units import UnitError, quantity
from sim.values import CORES_MAX, SIZE_MAX

CLOCK_HZ = (1e3, 1e12)
POWER_W_MAX = 1e6  # a scanner of magnetic resonance draws a tenth of that
FACTOR_MAX = 1e6
SIGMA_MAX = 10.0  # exp(8.3 sigma) is the largest factor that 53 bits of a draw can make
P_MIN = 1e-6
MEAN_TOLERANCE = 1e-4  # fixed + step / p of a geometric law may miss 1 by the rounding of written fractions

# Law of noise -> its parameters, in order.
LAWS: Mapping[str, tuple[str, ...]] = {
    'exponential': (), 'uniform': ('low', 'high'), 'lognormal': ('sigma',),
    'geometric': ('fixed', 'step', 'p'), 'empirical': ('quantiles',),
}


def seconds(text: str, clock_hz: float) -> float:
    """Return a time, or the time that cycles take."""
    cycles = text.removesuffix(' cycles')
    return quantity(text, 'time') if cycles == text else quantity(f'{cycles} s', 'time') / clock_hz


def _as_text(value: object) -> object:
    """Turn a bare number into text, so that the message speaks of its missing unit."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _value(dimension: str, text: str) -> float:
    """Return a quantity that is not negative; a cycle, whose length is not known here, counts as 1 s."""
    try:
        value = seconds(text, 1.0) if dimension == 'time' else quantity(text, dimension)
    except UnitError as error:
        remedy = str(error).partition('; ')[2]
        raise ValueError(f"found '{text}'; expected a {dimension} with its unit; {remedy}") from None
    if value < 0:
        raise ValueError(f"found '{text}'; expected no negative {dimension}; correct it")
    return value


def _not_negative(dimension: str, text: str) -> str:
    _value(dimension, text)
    return text


def _positive(dimension: str, text: str) -> str:
    if _value(dimension, text) == 0:
        raise ValueError(f"found '{text}'; expected more than 0; correct it, or leave an unknown number out")
    return text


def _power(text: str) -> str:
    if _value('power', text) > POWER_W_MAX:
        raise ValueError(f"found '{text}'; expected at most {POWER_W_MAX:g} W; correct it")
    return text


def _clock(text: str) -> str:
    if not CLOCK_HZ[0] <= _value('clock', _positive('clock', text)) <= CLOCK_HZ[1]:
        raise ValueError(f"found '{text}'; expected {CLOCK_HZ[0]:g} Hz to {CLOCK_HZ[1]:g} Hz; correct it")
    return text


def _whole(text: str) -> str:
    if not text.isdecimal() or len(text) > len(str(CORES_MAX)) or not 1 <= int(text) <= CORES_MAX:
        raise ValueError(f"found '{text}'; expected a whole number from 1 to {CORES_MAX:,}; correct it")
    return text


def _resolve_source(text: str, info: ValidationInfo) -> str:
    """Replace a key of `sources` by its text; a text of several words stands for itself."""
    sources = info.context['sources'] if info.context else None
    known = sources if isinstance(sources, dict) else {}
    if ' ' not in text and text not in known:
        raise ValueError(f"found the unknown source '{text}'; expected a key of sources or a text; add it to sources")
    return str(known.get(text, text))


def _is_stem(text: str, info: ValidationInfo) -> str:
    if info.context and text != info.context['stem']:
        raise ValueError(f"found '{text}'; expected the file's name '{info.context['stem']}'; rename one of them")
    return text


_Text = Annotated[str, BeforeValidator(_as_text)]
_Time = Annotated[_Text, AfterValidator(partial(_positive, 'time'))]
_TimeOrZero = Annotated[_Text, AfterValidator(partial(_not_negative, 'time'))]
_Factor = Annotated[float, Field(ge=0, le=FACTOR_MAX)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra='forbid', frozen=True)


class _Origin(_Strict):
    source: Annotated[str, AfterValidator(_resolve_source)]
    quality: Literal['primary', 'secondary', 'derived', 'assumption']
    formula: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode='after')
    def _derived_has_formula(self) -> Self:
        if self.quality == 'derived' and self.formula is None:
            raise ValueError("found quality 'derived' without a formula; expected how it was derived; add a formula")
        return self


class FigureEntry(_Origin):
    """A number of the device itself."""

    value: _Text


class _CoresEntry(FigureEntry):
    value: Annotated[_Text, AfterValidator(_whole)]


class _ClockEntry(FigureEntry):
    value: Annotated[_Text, AfterValidator(_clock)]


class _BaseEntry(FigureEntry):
    value: Annotated[_Text, AfterValidator(_power), AfterValidator(partial(_positive, 'power'))]


class _AboveBaseEntry(FigureEntry):
    value: Annotated[_Text, AfterValidator(_power)]


class _PowerEntry(_Strict):
    base: _BaseEntry
    busy: _AboveBaseEntry
    transmit: _AboveBaseEntry
    receive: _AboveBaseEntry


class NoiseEntry(_Origin):
    """A law of noise and its parameters, those of `LAWS` and no others."""

    law: Literal[tuple(LAWS)]  # type: ignore[valid-type]  # the table is the list
    low: _Factor | None = None
    high: _Factor | None = None
    sigma: Annotated[_Factor, Field(gt=0, le=SIGMA_MAX)] | None = None
    fixed: _Factor | None = None
    step: Annotated[_Factor, Field(gt=0)] | None = None
    p: Annotated[_Factor, Field(ge=P_MIN, le=1)] | None = None
    quantiles: Annotated[list[_Factor], Field(min_length=2)] | None = None

    def parameters(self) -> tuple[float, ...]:
        """Return the law's parameters in the order of `LAWS`."""
        return tuple(self.quantiles or (float(getattr(self, name)) for name in LAWS[self.law]))

    @model_validator(mode='after')
    def _parameters_fit_the_law(self) -> Self:
        given = {name for names in LAWS.values() for name in names if getattr(self, name) is not None}
        wanted = LAWS[self.law]
        if given != set(wanted):
            raise ValueError(f'found the parameters {sorted(given)}; expected {sorted(wanted)} for {self.law}; '
                             'correct them')
        values = self.parameters()
        if self.law in ('uniform', 'empirical') and (list(values) != sorted(values) or values[-1] == 0):
            raise ValueError(f'found {values}; expected ascending factors; sort them')
        if self.law == 'geometric' and abs(values[0] + values[1] / values[2] - 1) > MEAN_TOLERANCE:
            raise ValueError(f'found fixed + step / p = {values[0] + values[1] / values[2]:g}; expected 1, because '
                             'value is the mean; correct the fractions')
        return self


class _PointEntry(_Strict):
    bytes: Annotated[int, Field(ge=0, le=SIZE_MAX)]
    value: _TimeOrZero

    @model_validator(mode='after')
    def _only_nothing_is_free(self) -> Self:
        if self.bytes:
            _positive('time', self.value)
        return self


class CostEntry(_Origin):
    """What a stage costs in one variant: a value per unit of its amount, or points over bytes."""

    amount: ClassVar[str]
    value: _Time | None = None
    per: Literal['op', 'byte', 'sample'] = 'op'
    points: Annotated[list[_PointEntry], Field(min_length=2)] | None = None
    noise: NoiseEntry | None = None

    @model_validator(mode='after')
    def _is_one_curve_over_ascending_sizes(self) -> Self:
        if (self.value is None) == (self.points is None):
            raise ValueError('found neither or both of value and points; expected one of them; add or remove one')
        unit = 'byte' if self.points else self.per
        if unit != self.amount:
            raise ValueError(f"found a cost per {unit}; expected one per {self.amount}; write 'per: {self.amount}'"
                             + (' or points over bytes' if self.amount == 'byte' else ''))
        n_bytes = [point.bytes for point in self.points or []]
        if n_bytes != sorted(set(n_bytes)):
            raise ValueError(f'found points at {n_bytes} bytes; expected ascending sizes; sort them')
        return self

    def texts(self) -> tuple[str, ...]:
        """Return the times as they are written, in the order of their sizes."""
        return tuple(point.value for point in self.points) if self.points else (str(self.value),)


class _CryptoEntry(CostEntry):
    quality: Literal['primary', 'secondary', 'derived']  # a guessed crypto number is worse than none

    @model_validator(mode='after')
    def _noise_is_no_guess(self) -> Self:
        if self.noise and self.noise.quality == 'assumption':
            raise ValueError("found noise of quality 'assumption'; expected published or derived noise of a crypto "
                             'stage; leave the noise out')
        return self


class _CryptoOp(_CryptoEntry):
    amount = 'op'


class _CryptoBytes(_CryptoEntry):
    amount = 'byte'


class _Bytes(CostEntry):
    amount = 'byte'


class _Samples(CostEntry):
    amount = 'sample'


# The variants of cryptography's stages; the tables are the lists.
_INTERPRETED = ('Ascon-AEAD128 (interpreted)', 'Ascon-128a (interpreted)', 'Ascon-128 (interpreted)')
_Kems: TypeAlias = dict[Literal[tuple(wire.KEM_CIPHERTEXT_BYTES)], _CryptoOp]  # type: ignore[misc, valid-type]
_Aeads: TypeAlias = dict[Literal[(*wire.AEAD_NONCE_BYTES, *_INTERPRETED)], _CryptoBytes]  # type: ignore[valid-type]
_Signatures: TypeAlias = dict[Literal[tuple(wire.SIGNATURE_BYTES)], _CryptoOp]  # type: ignore[misc, valid-type]


class _CostsEntry(_Strict):
    """Stage -> variant -> cost; a field's first underscore is the dot of the stage."""

    model_config = ConfigDict(alias_generator=lambda field: field.replace('_', '.', 1))

    kem_keygen: _Kems = {}
    kem_encaps: _Kems = {}
    kem_decaps: _Kems = {}
    aead_seal: _Aeads = {}
    aead_open: _Aeads = {}
    sig_keygen: _Signatures = {}
    sig_sign: _Signatures = {}
    sig_verify: _Signatures = {}
    fl_train: dict[Literal['any'], _Samples] = {}
    fl_aggregate: dict[Literal['any'], _Bytes] = {}
    broker_route: dict[Literal['any'], _Bytes] = {}
    broker_answer: dict[Literal['any'], _Bytes] = {}

    def by_stage(self) -> Iterator[tuple[str, Mapping[str, CostEntry]]]:
        """Yield every stage that has costs, with its variants."""
        for field, info in type(self).model_fields.items():
            yield str(info.alias), getattr(self, field)


class ProfileEntry(_Strict):
    """A whole file."""

    name: Annotated[str, AfterValidator(_is_stem)]
    title: str
    implementation: str
    runs_python: bool = True
    sources: dict[str, str]
    calibration: dict[str, str] = {}  # when, on what and how well `iomtwin calibrate` measured it
    cores: _CoresEntry
    clock: _ClockEntry
    power: _PowerEntry
    costs: _CostsEntry
