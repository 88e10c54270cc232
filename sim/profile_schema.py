"""The format of a profile's file: what is accepted, and how a mistake is told with its line.

The format is described in ``scenarios/profiles/README.md``. Quantities stay text here; `sim.profiles` turns
them into SI numbers and may take for granted whatever this module has checked.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from sim.errors import InputError
from sim.units import UnitError, quantity

MEAN_TOLERANCE = 1e-4  # fixed + step / p of a geometric law may miss 1 by the rounding of written fractions

# Law of noise -> its parameters, in order.
LAWS: Mapping[str, tuple[str, ...]] = {
    'exponential': (), 'uniform': ('low', 'high'), 'lognormal': ('sigma',),
    'geometric': ('fixed', 'step', 'p'), 'empirical': ('quantiles',),
}


def read_entry(file: str, data: bytes, stem: str) -> 'ProfileEntry':
    """Read and check the bytes of one file whose name without suffix is `stem`.

    Raises
    ------
    InputError
        At the first thing that is wrong; one line: file:line key: found; expected; what to do.
    """
    try:
        tree = YAML(typ='rt').load(data)
    except (YAMLError, UnicodeDecodeError) as error:
        mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
        problem = error.problem if isinstance(error, MarkedYAMLError) else 'bytes that are not UTF-8'
        raise InputError(f'{file}:{mark.line + 1 if mark else 1}: found no YAML ({" ".join(str(problem).split())}); '
                         'expected a profile; correct the text') from None
    if not isinstance(tree, CommentedMap):
        raise InputError(f'{file}:1: found no keys; expected a profile; see scenarios/profiles/README.md')
    try:
        return ProfileEntry.model_validate(tree, context={'sources': tree.get('sources'), 'stem': stem})
    except ValidationError as error:
        first = error.errors()[0]
        line, key = _locate(tree, first['loc'])
        raise InputError(f'{file}:{line} {key}: {_sentence(first)}') from None


def _locate(tree: CommentedMap, key: tuple[str | int, ...]) -> tuple[int, str]:
    """Return the line of a key, or of the nearest block around it, and the key as text."""
    node: object = tree
    line, text = 1, ''
    for part in key:
        if isinstance(node, CommentedMap) and part in node:
            line, node = node.lc.key(part)[0] + 1, node[part]
        elif isinstance(node, CommentedSeq) and isinstance(part, int):
            line, node = node.lc.item(part)[0] + 1, node[part]
        text += f'[{part}]' if isinstance(part, int) else f'.{part}'
    return line, text.removesuffix('.[key]').lstrip('.')


def _sentence(error: ErrorDetails) -> str:
    """Return what was found, what was expected and what to do."""
    match error['type']:
        case 'value_error':
            return str(error['ctx']['error'])
        case 'missing':
            return 'found nothing; expected this key; add it'
        case 'extra_forbidden':
            return 'found an unknown key; expected a key of the format; see scenarios/profiles/README.md'
    found = 'a block' if isinstance(error['input'], dict | list) else repr(error['input'])
    return f'found {found}; expected {error["msg"].removeprefix("Input should be ")}; correct it'


def _as_text(value: object) -> object:
    """Turn a bare number into text, so that the message speaks of its missing unit."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _in_order(text: str, dimension: str = 'time') -> float:
    """Return a number that orders quantities of one unit; a cycle, whose length is not known here, counts as 1 s."""
    cycles = text.removesuffix(' cycles')
    return quantity(f'{cycles} s' if cycles != text and dimension == 'time' else text, dimension)


def _not_negative(dimension: str, text: str) -> str:
    try:
        value = _in_order(text, dimension)
    except UnitError as error:
        remedy = str(error).partition('; ')[2]
        raise ValueError(f"found '{text}'; expected a {dimension} with its unit; {remedy}") from None
    if value < 0:
        raise ValueError(f"found '{text}'; expected no negative {dimension}; correct it")
    return text


def _positive(dimension: str, text: str) -> str:
    if _in_order(_not_negative(dimension, text), dimension) == 0:
        raise ValueError(f"found '{text}'; expected more than 0; correct it, or leave an unknown number out")
    return text


def _whole(text: str) -> str:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"found '{text}'; expected a whole number of at least 1; correct it")
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
_Factor = Annotated[float, Field(ge=0, allow_inf_nan=False)]


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
    value: Annotated[_Text, AfterValidator(partial(_positive, 'clock'))]


class _BaseEntry(FigureEntry):
    value: Annotated[_Text, AfterValidator(partial(_positive, 'power'))]


class _AboveBaseEntry(FigureEntry):
    value: Annotated[_Text, AfterValidator(partial(_not_negative, 'power'))]


class _PowerEntry(_Strict):
    base: _BaseEntry
    busy: _AboveBaseEntry
    transmit: _AboveBaseEntry
    receive: _AboveBaseEntry


class NoiseEntry(_Origin):
    """A law of noise and its parameters, those of `LAWS` and no others."""

    law: Literal['exponential', 'uniform', 'lognormal', 'geometric', 'empirical']
    low: _Factor | None = None
    high: _Factor | None = None
    sigma: Annotated[_Factor, Field(gt=0)] | None = None
    fixed: _Factor | None = None
    step: Annotated[_Factor, Field(gt=0)] | None = None
    p: Annotated[_Factor, Field(gt=0, le=1)] | None = None
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
    bytes: Annotated[int, Field(ge=0)]
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
    def _is_one_ascending_curve(self) -> Self:
        if (self.value is None) == (self.points is None):
            raise ValueError('found neither or both of value and points; expected one of them; add or remove one')
        unit = 'byte' if self.points else self.per
        if unit != self.amount:
            raise ValueError(f"found a cost per {unit}; expected one per {self.amount}; write 'per: {self.amount}'"
                             + (' or points over bytes' if self.amount == 'byte' else ''))
        n_bytes = [point.bytes for point in self.points or []]
        if n_bytes != sorted(set(n_bytes)):
            raise ValueError(f'found points at {n_bytes} bytes; expected ascending sizes; sort them')
        times = [_in_order(point.value) for point in self.points or []]
        if times != sorted(times):
            raise ValueError('found a larger size that takes less time; expected no falling curve; correct the points')
        return self


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


_Kems = dict[Literal['ML-KEM-512', 'ML-KEM-768', 'ML-KEM-1024', 'X25519', 'P-256'], _CryptoOp]
_Aeads = dict[Literal['Ascon-AEAD128', 'Ascon-128a', 'Ascon-128', 'AES-128-GCM', 'AES-256-GCM', 'ChaCha20-Poly1305'],
              _CryptoBytes]
_Signatures = dict[Literal['ML-DSA-44', 'ML-DSA-65', 'ECDSA-P256'], _CryptoOp]


class _CostsEntry(_Strict):
    """Stage -> variant -> cost; a field's first underscore is the dot of the stage."""

    model_config = ConfigDict(alias_generator=lambda field: field.replace('_', '.', 1))

    kem_keygen: _Kems = {}
    kem_encaps: _Kems = {}
    kem_decaps: _Kems = {}
    aead_seal: _Aeads = {}
    aead_open: _Aeads = {}
    sig_sign: _Signatures = {}
    sig_verify: _Signatures = {}
    fl_train: dict[Literal['any'], _Samples] = {}
    fl_aggregate: dict[Literal['any'], _Bytes] = {}
    broker_route: dict[Literal['any'], _Bytes] = {}

    def by_stage(self) -> Iterator[tuple[str, Mapping[str, CostEntry]]]:
        """Yield every stage that has costs, with its variants."""
        for field, info in type(self).model_fields.items():
            yield str(info.alias), getattr(self, field)


class ProfileEntry(_Strict):
    """A whole file."""

    name: Annotated[str, AfterValidator(_is_stem)]
    title: str
    implementation: str
    sources: dict[str, str]
    cores: _CoresEntry
    clock: _ClockEntry
    power: _PowerEntry
    costs: _CostsEntry
