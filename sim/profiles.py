"""What one kind of device costs: seconds and watts per stage, every number with unit, source and quality.

A profile is a YAML file (format: ``scenarios/profiles/README.md``). A stage's cost is a curve of seconds
against amount, piecewise linear, times a factor drawn from a law of noise::

    time = curve(amount) * factor

Below the first point the curve keeps the first value, beyond the last the last slope. Cycles are divided by
the profile's clock. Left out: caches, memory bandwidth and temperature, and every number that nobody
published. A missing number is absent, never zero and never guessed: a guessed crypto number is refused.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sim.errors import InputError
from sim.profile_reading import read_entry
from sim.profile_schema import CostEntry, FigureEntry, NoiseEntry, seconds
from sim.units import quantity
from sim.yaml_source import read_file

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / 'scenarios' / 'profiles'


class MissingCost(InputError):  # noqa: N818 - it says what is missing, as the message does
    """A profile has no number for a stage: nobody published one, or nobody wrote it down.

    `digest` is that of the profile, and `place` where the stage is, which who asks for the number knows.
    """

    def __init__(self, message: str, digest: str, stage: str) -> None:
        super().__init__(message)
        self.digest = digest
        self.stage = stage
        self.place = ''


@dataclass(frozen=True)
class Figure:
    """One number of a device, in SI units, beside what was written."""

    value: float
    unit: str
    written: str
    source: str
    quality: str
    formula: str | None


@dataclass(frozen=True)
class Noise:
    """The law of the factor on a cost; a constant factor of 1 has neither parameters nor source.

    Parameters: exponential (); uniform (low, high); lognormal (sigma) of median 1; geometric (fixed, step, p),
    that is fixed + step * N with N attempts of success probability p; empirical (equally spaced quantiles).
    """

    law: str
    parameters: tuple[float, ...]
    source: str
    quality: str
    formula: str | None


@dataclass(frozen=True)
class Cost:
    """A stage's curve of seconds against amount (one point at 0 for a cost per operation) and its noise."""

    amounts: tuple[float, ...]
    seconds: tuple[float, ...]
    written: tuple[str, ...]
    unit: str
    noise: Noise
    source: str
    quality: str
    formula: str | None


@dataclass(frozen=True)
class Profile:
    """One kind of device; `power` has base, and above base: busy (one core), transmit and receive."""

    name: str
    title: str
    implementation: str
    runs_python: bool
    cores: Figure
    clock: Figure
    power: Mapping[str, Figure]
    costs: Mapping[tuple[str, str], Cost]
    calibration: Mapping[str, str]  # when, on what and how well it was measured, if `iomtwin calibrate` did
    sha256: str
    contents: bytes  # of its file

    def cost(self, stage: str, variant: str) -> Cost:
        """Return the cost of a stage in one variant, or in any if the stage has no variants.

        Raises
        ------
        MissingCost
            If the profile has no such number; the message names the shipped profiles that have it.
        """
        found = self.costs.get((stage, variant)) or self.costs.get((stage, 'any'))
        if found is None:
            names = profiles_with(stage, variant)
            remedy = f'use {" or ".join(names)}' if names else 'no shipped profile has it: use another variant'
            raise MissingCost(f'profile {self.name}: found no cost for {stage} {variant}; expected a number with a '
                              f'source; {remedy}, or add the number to the profile', self.sha256, stage)
        return found


def load_profile(name_or_path: str | Path) -> Profile:
    """Read a shipped profile by its name, or any profile by its path.

    Raises
    ------
    InputError
        If there is no such profile or something in it is wrong; one line that says where and what to do.
    """
    path = Path(name_or_path)
    if isinstance(name_or_path, str) and path.suffix != '.yaml' and '/' not in name_or_path:
        path = SHIPPED / f'{name_or_path}.yaml'
    shown = str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
    if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises if the name is too long
        raise InputError(f"{shown}: found no file for profile '{name_or_path}'; expected one of "
                         f'{", ".join(shipped_profiles())}, or the path of a YAML file; correct the name')
    return _parse(shown, read_file(path, shown), path.stem)


@lru_cache(maxsize=256)
def _parse(shown: str, text: str, stem: str) -> Profile:
    """Return the profile that a file's text spells, parsed once: every class and node of a scenario asks for it."""
    entry = read_entry(shown, text, stem)
    clock_hz = quantity(entry.clock.value, 'clock')
    return Profile(
        entry.name, entry.title, entry.implementation, entry.runs_python,
        cores=_figure(entry.cores, float(entry.cores.value), 'count'),
        clock=_figure(entry.clock, clock_hz, 'Hz'),
        power={part: _figure(figure, quantity(figure.value, 'power'), 'W') for part, figure in entry.power},
        costs={(stage, variant): _cost(cost, clock_hz)
               for stage, variants in entry.costs.by_stage() for variant, cost in variants.items()},
        calibration=entry.calibration, sha256=hashlib.sha256(text.encode()).hexdigest(), contents=text.encode(),
    )


def shipped_profiles() -> list[str]:
    """Return the names of the profiles that come with iomtwin, sorted."""
    return sorted(path.stem for path in SHIPPED.glob('*.yaml'))


def profiles_with(stage: str, variant: str) -> list[str]:
    """Return the names of the shipped profiles that have a cost for a stage in a variant."""
    return [name for name in shipped_profiles() if {(stage, variant), (stage, 'any')} & load_profile(name).costs.keys()]


def table(profile: Profile) -> list[dict[str, str]]:
    """Return one row per number: stage, variant, what, value, seconds, unit, quality, source, formula."""
    figures = {'cores': profile.cores, 'clock': profile.clock, **{f'power.{k}': v for k, v in profile.power.items()}}
    rows = [_row('', '', what, figure.written, '', figure.unit, figure) for what, figure in figures.items()]
    for (stage, variant), cost in profile.costs.items():
        start = len(cost.amounts) - len(cost.written)  # a cost per byte or sample starts at (0, 0), not written
        for amount, time_s, written in zip(cost.amounts[start:], cost.seconds[start:], cost.written, strict=True):
            what = 'cost per op' if cost.unit == 'op' else f'cost at {amount:.0f} {cost.unit}'
            rows.append(_row(stage, variant, what, written, f'{time_s:.6g}', 's', cost))
        if cost.noise.law != 'constant':
            rows.append(_row(stage, variant, f'noise {cost.noise.law}', _parameters(cost.noise), '', 'factor',
                             cost.noise))
    return rows


def _parameters(noise: Noise) -> str:
    """Return the parameters of a law; of many quantiles the ends."""
    numbers = [f'{parameter:g}' for parameter in noise.parameters]
    return f'{len(numbers)} quantiles from {numbers[0]} to {numbers[-1]}' if noise.law == 'empirical' else (
        ' '.join(numbers))


def _row(stage: str, variant: str, what: str, value: str, seconds: str, unit: str,
         number: Figure | Cost | Noise) -> dict[str, str]:
    return {'stage': stage, 'variant': variant, 'what': what, 'value': value, 'seconds': seconds, 'unit': unit,
            'quality': number.quality, 'source': number.source, 'formula': number.formula or ''}


def _figure(entry: FigureEntry, value: float, unit: str) -> Figure:
    return Figure(value, unit, entry.value, entry.source, entry.quality, entry.formula)


def _cost(entry: CostEntry, clock_hz: float) -> Cost:
    written = entry.texts()
    times = tuple(seconds(text, clock_hz) for text in written)
    if entry.points:
        amounts = tuple(float(point.bytes) for point in entry.points)
    elif entry.per == 'op':
        amounts = (0.0,)
    else:
        amounts, times = (0.0, 1.0), (0.0, *times)
    return Cost(amounts, times, written, entry.amount, _noise(entry.noise),
                entry.source, entry.quality, entry.formula)


def _noise(entry: NoiseEntry | None) -> Noise:
    if entry is None:
        return Noise('constant', (), '', '', None)
    return Noise(entry.law, entry.parameters(), entry.source, entry.quality, entry.formula)
