"""What a stage costs a computer, as rows of the model: a curve of seconds over amounts, and a law of noise."""

from sim import laws
from sim.building import ModelBuilder
from sim.profiles import Cost, Noise, Profile
from sim.scenario import Crypto
from sim.suites import variant

NO_COST = Cost((0.0,), (0.0,), ('0 s',), 'op', Noise('constant', (), '', '', None), 'no cipher', 'primary', None)


class Costing:
    """Finds the curve and the law of a stage in a profile, adding each to the model once."""

    def __init__(self, builder: ModelBuilder, crypto: Crypto) -> None:
        self._builder, self._implementation = builder, crypto.implementation
        self._variants = {'aead.': crypto.aead, 'kem.': crypto.kem, 'sig.': crypto.signature}
        self._blocks: dict[tuple[tuple[str, ...], str], tuple[int, int]] = {}

    def rows(self, profiles: tuple[Profile, ...], stage: str) -> tuple[int, int]:
        """Return the first curve and the first law of a stage, a consecutive row of each for every profile."""
        key = (tuple(profile.sha256 for profile in profiles), stage)
        if key not in self._blocks:
            costs = [self._cost(profile, stage) for profile in profiles]
            curves = [(cost.amounts, cost.seconds) for cost in costs]
            kinds = [(laws.LAW_NAMES.index(cost.noise.law), cost.noise.parameters) for cost in costs]
            self._blocks[key] = self._builder.curve_block(curves), self._builder.law_block(kinds)
        return self._blocks[key]

    def constant(self, seconds: float) -> tuple[int, int]:
        """Return curve and law of a delay that is always the same."""
        return self._builder.curve((0.0,), (seconds,)), self._builder.law(laws.CONSTANT)

    def _cost(self, profile: Profile, stage: str) -> Cost:
        kind = stage.split('.', maxsplit=1)[0] + '.'
        name = self._variants.get(kind, 'any')
        if name == 'none':
            return NO_COST
        is_interpreted = kind == 'aead.' and profile.runs_python
        return profile.cost(stage, variant(name, self._implementation if is_interpreted else 'native'))

    def delay(self, seconds_max: float) -> tuple[int, int]:
        """Return curve and law of a delay that is uniform between zero and a maximum."""
        return self._builder.curve((0.0,), (seconds_max,)), self._builder.law(laws.UNIFORM, 0.0, 1.0)
