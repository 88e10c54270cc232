"""From this machine to a profile of it: what is timed, twice, and what is made of it."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hil import learning
from hil.calibration import report
from hil.calibration.machine import Condition, Machine, condition, inspect, warnings
from hil.calibration.measurement import Measurement, measurements
from hil.calibration.operations import N_SAMPLES, N_UPDATES, Operation, operations
from hil.calibration.profile_file import profile_text
from hil.calibration.schedule import BYTES_MAX, MEMORY_SHARE, Calls, Cell, Limits, Timed, cells, timed
from hil.calibration.timing import Timer, timer, undisturbed
from hil.crypto.providers import Provider
from sim.memory import available_bytes
from sim.profiles import Profile

FULL_S, QUICK_S = 120.0, 18.0
CALL_S_MAX = 1.0  # of the full length; of a shorter one in proportion, like the least calls
N_FOR_P95 = 100  # calls of an operation without sizes: of 59, the largest is already likely to be beyond the p95
N_LEAST = 3  # such calls in a pass, however short the time
N_PASSES = 2
SEED = 1  # of the order in which calls are made
LEARNING = (f'fl.train: one pass in batches of {learning.BATCH} over {N_SAMPLES} samples, network '
            f'{learning.N_INPUTS}-{learning.N_HIDDEN}-{learning.N_CLASSES}, with reading and writing its parameters; '
            f'fl.aggregate: the average of {N_UPDATES} updates in float64')

Progress = Callable[[str, float], None]  # what is being done, and the share of the time that is over


@dataclass(frozen=True)
class Calibration:
    """A profile's file, and what to tell whoever made it."""

    text: str
    measured: tuple[Measurement, ...]
    missing: Mapping[str, str]  # what could not be timed -> why
    warnings: tuple[str, ...]


def calibrate(provider: Provider, like: Profile, name: str, seconds: float, progress: Progress) -> Calibration:
    """Time everything on this machine and return a profile of it.

    Parameters
    ----------
    provider
        Who does the post-quantum work.
    like
        The profile that watts and the broker's work are taken over from.
    name
        Of the profile, and of its file without the suffix.
    seconds
        How long it takes, about: everything is called at least twice.
    """
    begun_s = time.monotonic()
    found = operations(provider)
    with undisturbed() as core:
        machine, before = inspect(core), condition(core)
        clock, calls = timer(), Calls()
        rows = _sizes(found.found, calls, clock, limits_of(seconds), progress)
        # Compiling may have taken its time; at least half is for timing.
        pass_s = max(seconds - (time.monotonic() - begun_s), seconds / 2) / N_PASSES
        passes = _passes(rows, calls, clock, pass_s, progress)
        after = condition(core)
    measured, doubts = measurements(rows, passes), warnings(machine, before, after)
    text = profile_text(name, machine, measured, like, sources=_sources(provider, machine, before, core, measured),
                        implementation=_implementation(provider),
                        record=_record(provider, machine, (before, after), measured, found.missing, doubts))
    return Calibration(text, tuple(measured), found.missing, tuple(doubts))


def limits_of(seconds: float) -> Limits:
    """Return what calls may take in a calibration of some length; a longer one than the default has larger sizes."""
    share, available = min(1.0, seconds / FULL_S), available_bytes()
    bytes_max = BYTES_MAX * min(1.0, seconds / QUICK_S) * max(1.0, seconds / FULL_S)
    if available is not None:
        bytes_max = min(bytes_max, available / MEMORY_SHARE)
    return Limits(CALL_S_MAX * share, int(bytes_max), max(N_LEAST, round(N_FOR_P95 * share / N_PASSES)))


def _sizes(found: Sequence[Operation], calls: Calls, clock: Timer, limits: Limits, progress: Progress) -> list[Cell]:
    """Return the cells of all operations; each is called for the first time here."""
    rows: list[Cell] = []
    for operation in found:
        progress(f'sizes of {operation.name}', 0.0)
        rows += cells(operation, calls, clock, limits)
    return rows


def _passes(rows: Sequence[Cell], calls: Calls, clock: Timer, pass_s: float, progress: Progress) -> list[list[Timed]]:
    """Return what the calls of each cell took in each pass."""
    passes = []
    for i in range(N_PASSES):

        def tick(share: float, done: int = i) -> None:
            progress(f'pass {done + 1} of {N_PASSES}', (done + share) / N_PASSES)

        passes.append(timed(rows, calls, clock, pass_s, random.Random(SEED + i), tick))
    return passes


def _record(provider: Provider, machine: Machine, conditions: tuple[Condition, Condition],
            measured: Sequence[Measurement], missing: Mapping[str, str], doubts: Sequence[str]) -> dict[str, str]:
    """Return what the profile says of how it came to be."""
    before, after = (each.describe() for each in conditions)
    record = {
        'date': f'{conditions[0].at:%Y-%m-%d %H:%M} UTC', **machine.describe(),
        **{what: f'{text} before, {after.get(what, "unknown")} after' for what, text in before.items()},
        **{what.replace('_', ' '): text for what, text in provider.describe().items()},
        'held out': report.held_out(measured), 'repeated': report.repeated(measured),
        'disturbed': report.disturbed(measured),
        'left out': '; '.join(f'{name}: {why}' for name, why in missing.items()), 'warning': '; '.join(doubts)}
    return {what: text for what, text in record.items() if text}


def _sources(provider: Provider, machine: Machine, before: Condition, core: int,
             measured: Sequence[Measurement]) -> dict[str, str]:
    """Return what was measured, for everything that did the work of an operation."""
    how = (f'measured {before.at:%Y-%m-%d} on {machine.cpu} ({machine.architecture}), {machine.python}, pinned to core '
           f'{core}, garbage collector off')
    special = {
        provider.name: f'{provider.name} {provider.version}',
        'python': "iomtwin's Ascon-AEAD128 in plain Python",
        'numba': f"iomtwin's Ascon-AEAD128 compiled by numba {machine.packages['numba']}",
        'numpy': f'numpy {machine.packages["numpy"]}, one thread; {LEARNING}',
    }
    done_by = sorted({each.operation.done_by for each in measured})
    return {name: f'{how}: {special.get(name) or f"{name} {machine.packages[name]}"}' for name in done_by}


def _implementation(provider: Provider) -> str:
    """Return who does the work, for a reader who chooses between profiles."""
    told = provider.describe()
    return (f'called from Python: ML-KEM by {told["kem_provider"]} ({told["kem_provider_reason"]}), ML-DSA by '
            f"{told['signature_provider']}, Ascon-AEAD128 by iomtwin's own compiled code, all else by "
            f'{told["classical_provider"]}; what is marked interpreted is plain Python')
