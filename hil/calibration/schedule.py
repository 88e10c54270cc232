"""What is timed when: sizes, how many calls of each, and an order in which no drift of the machine looks like an error.

A size-dependent operation is timed at doubling sizes, which become the points of its curve, and at the geometric means
between them, which are held out: the profile never sees them, and is asked to predict them. Each (operation, amount) is
a cell. The time there is goes to all cells by their weight, save that a dear cell has its few calls and a cheap one no
more than it can use::

    n = clamp(weight * share / cost, n_min, n_max),    share such that the sum of n * cost is the time there is

An operation without sizes is one cell, and weighs as much as half a dozen sizes of another one.

Calls are made in blocks. A sweep goes over the sizes of one operation, up or down by chance, with one block of each,
and the sweeps of all operations are shuffled together: neighbours are timed at nearly the same moments, and these are
spread over a pass. So a machine whose speed wanders, as a virtual one's does within a second, moves a curve more than
it bends it.

A block begins with a call that does not count: after other work it finds cold caches, and memory that the system has
yet to give, which for a message of 16 MB can take as long as the work; the next message of its kind does not. Dear
calls are blocks of one, with none before it. Two passes are made, each a measurement of its own: how far they agree is
how well this machine repeats itself.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from hil.calibration.operations import N_SAMPLES, Operation
from hil.calibration.timing import Call, Timer

BYTES_MIN = 64
BYTES_MAX = 16 << 20  # in the default length: more than a message of hardware in the loop; a line goes on from there
MEMORY_SHARE = 64  # all that is prepared for all operations takes some 24 times the largest size
N_MIN_OF_SIZE = 5  # calls of a size in one pass, of which a median means something
LEAST_SHARE = 0.15  # of the longest call: a size that takes longer is called once in a pass
WEIGHT = 6.0  # of an operation without sizes
N_MAX = 2_000  # calls of a cell in one pass: their 95th percentile is one between the true 94th and 96th
BLOCK_S = 0.002  # the shorter, the more often a cell is visited, at times that have nothing to do with each other
BLOCK_CALLS_MIN, BLOCK_CALLS_MAX = 3, 25
LOOK_CALLS_MAX = 20  # that a first guess of a cost is made of
LOOK_S = 0.002
CALL_OVERHEAD_S = 3e-6  # what a call costs beside itself: four readings of clocks, and a turn of the loop
WARM_S = 0.05  # a longer call is dear, and warm by itself
SHARE_ROUNDS = 60  # of halving: enough for a float

Tick = Callable[[float], None]  # share done, 0 to 1


@dataclass(frozen=True)
class Limits:
    """What a calibration may take."""

    call_s_max: float  # a size whose call takes longer is not timed
    bytes_max: int
    n_min: int  # calls of an operation without sizes, in each pass

    def n_min_of_size(self, call_s: float) -> int:
        """Return how many calls of one size are made in each pass, whatever they take: a few, or one that is dear."""
        return max(1, min(N_MIN_OF_SIZE, int(LEAST_SHARE * self.call_s_max / call_s)))


@dataclass(frozen=True)
class Cell:
    """One operation at one amount, with a first guess of what a call takes, and what preparing it does."""

    operation: Operation
    amount: int
    is_held_out: bool
    call_s: float
    prepare_s: float
    n_min: int  # calls in a pass, whatever they take
    weight: float = 1.0

    @property
    def is_warmed(self) -> bool:
        """Return whether each block begins with a call that does not count."""
        return self.call_s <= WARM_S

    @property
    def block_calls(self) -> int:
        """Return how many calls of a block count."""
        if not self.is_warmed:
            return 1
        return min(max(BLOCK_CALLS_MIN, int(BLOCK_S / (self.call_s + CALL_OVERHEAD_S))), BLOCK_CALLS_MAX)

    @property
    def cost_s(self) -> float:
        """Return what one more call takes of the time there is, with its share of the one that does not count."""
        return self.call_s * (1.0 + self.is_warmed / self.block_calls) + CALL_OVERHEAD_S


Calls = dict[Cell, Call]  # what is prepared


@dataclass
class Timed:
    """What the calls of one cell took in one pass, s."""

    durations: list[NDArray[np.float64]] = field(default_factory=list)
    n_lost: int = 0  # calls that lost the core meanwhile

    def seconds(self) -> NDArray[np.float64]:
        """Return all durations, shape ``(n_calls,)``."""
        return np.concatenate(self.durations)


def cells(operation: Operation, calls: Calls, timer: Timer, limits: Limits) -> Iterator[Cell]:
    """Yield the cells of an operation: sizes double until a call would take too long, or too much memory.

    There are at least two, because a curve has two points.

    Parameters
    ----------
    calls
        What is prepared here is added.
    """
    size = BYTES_MIN if operation.unit == 'byte' else N_SAMPLES if operation.unit == 'sample' else 1
    operation.prepare(size)()  # compiles and loads what it needs
    cell = _looked_at(operation, size, calls, timer, limits)
    yield cell
    while operation.unit == 'byte' and (cell.amount == BYTES_MIN or (
            2 * cell.call_s <= limits.call_s_max and 2 * cell.amount <= limits.bytes_max)):
        below, cell = cell, _looked_at(operation, 2 * cell.amount, calls, timer, limits)
        call_s = (below.call_s + cell.call_s) / 2
        yield Cell(operation, held_out_size(below.amount, cell.amount, operation.multiple), True, call_s,
                   (below.prepare_s + cell.prepare_s) / 2, limits.n_min_of_size(call_s))
        yield cell


def _looked_at(operation: Operation, amount: int, calls: Calls, timer: Timer, limits: Limits) -> Cell:
    """Return a cell with a guess of its costs: of one call, and of more if they are short."""
    begun_s = time.thread_time()
    call = operation.prepare(amount)
    prepare_s = time.thread_time() - begun_s
    call_s = float(timer.durations(call, 1)[0][0])
    n = min(LOOK_CALLS_MAX, int(LOOK_S / call_s))
    if n:
        call_s = float(np.median(timer.durations(call, n)[0]))
    n_min, weight = (limits.n_min_of_size(call_s), 1.0) if operation.unit == 'byte' else (limits.n_min, WEIGHT)
    cell = Cell(operation, amount, False, call_s, prepare_s, n_min, weight)
    calls[cell] = call
    return cell


def held_out_size(below: int, above: int, multiple: int) -> int:
    """Return the geometric mean of two sizes, rounded to a multiple."""
    return round(sqrt(below * above) / multiple) * multiple


def n_calls(found: Sequence[Cell], time_s: float) -> list[int]:
    """Return how many calls of each cell fit into the time there is, by the rule above; never fewer than its least."""

    def at(share_s: float) -> list[int]:
        return [min(N_MAX, max(cell.n_min, int(cell.weight * share_s / cell.cost_s))) for cell in found]

    low, high = 0.0, time_s
    for _ in range(SHARE_ROUNDS):
        middle = (low + high) / 2
        fits = sum(n * cell.cost_s for n, cell in zip(at(middle), found, strict=True)) <= time_s
        low, high = (middle, high) if fits else (low, middle)
    return at(low)


def blocks(found: Sequence[Cell], counts: Sequence[int], generator: random.Random) -> list[tuple[int, int]]:
    """Return (cell, calls) in the order in which they are made: sweeps over the sizes of an operation, shuffled.

    The k-th sweep of an operation has a block of every size that has k or more, up or down the sizes by chance.
    """
    sweeps: dict[tuple[Operation, int], list[tuple[int, int]]] = {}
    for i, (cell, n) in enumerate(zip(found, counts, strict=True)):
        for k, done in enumerate(range(0, n, cell.block_calls)):
            sweeps.setdefault((cell.operation, k), []).append((i, min(cell.block_calls, n - done)))
    order = list(sweeps.values())
    generator.shuffle(order)
    for sweep in order:
        sweep.sort(key=lambda block: found[block[0]].amount, reverse=generator.random() < 0.5)
    return [block for sweep in order for block in sweep]


def timed(found: Sequence[Cell], calls: Calls, timer: Timer, time_s: float, generator: random.Random,
          tick: Tick) -> list[Timed]:
    """Make one pass in the time there is; return what the calls of each cell took.

    Where other programs have the core meanwhile, time is up before all blocks are done: then all cells have the same
    share of their calls, and those that have none yet still get a block.

    Parameters
    ----------
    calls
        What was prepared before; what is prepared here is added.
    """
    begun_s = time.monotonic()
    counts = n_calls(found, time_s - sum(cell.prepare_s for cell in found if cell not in calls))
    taken = [Timed() for _ in found]
    for i, n in blocks(found, counts, generator):
        spent_s = time.monotonic() - begun_s
        if spent_s > time_s and taken[i].durations:
            continue
        tick(min(1.0, spent_s / time_s))
        cell = found[i]
        if cell not in calls:
            calls[cell] = cell.operation.prepare(cell.amount)
        call = calls[cell]
        if cell.is_warmed:
            call()
        durations, n_lost = timer.durations(call, n)
        taken[i].durations.append(durations)
        taken[i].n_lost += n_lost
    return taken
