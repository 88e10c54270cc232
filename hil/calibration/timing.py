"""How one call is timed: two clocks around it, on one core that the thread does not leave, with no garbage collector.

Both clocks are read before and after every call::

    CPU, wall, call, wall, CPU

The wall clock is what counts; it is finer, and it is read closer to the call. Where the thread lost its core to another
process meanwhile, the wall clock tells of that process: then the thread's own CPU time counts instead. What the clocks
themselves take, the median over calls of nothing, is taken off. Left out: time that a hypervisor gives to others
without saying so, and what other cores do to shared caches, memory and execution units.
"""

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Call = Callable[[], Any]
Nanoseconds = NDArray[np.int64]

N_EMPTY = 2_000  # calls of nothing, whose median is the clocks' own time
LOST_NS = 2_000  # wall above CPU time: giving up a core and getting it back takes longer; the clocks differ by less


@dataclass(frozen=True)
class Clocks:
    """The two clocks, in nanoseconds."""

    wall: Callable[[], int] = time.perf_counter_ns
    cpu: Callable[[], int] = time.thread_time_ns


@dataclass(frozen=True)
class Reading:
    """What both clocks said of each call, ns, shape ``(n_calls,)``."""

    wall: Nanoseconds
    cpu: Nanoseconds


@dataclass(frozen=True)
class Timer:
    """Clocks, and what they themselves take, ns."""

    clocks: Clocks
    wall_ns: float
    cpu_ns: float

    def durations(self, call: Call, n: int) -> tuple[NDArray[np.float64], int]:
        """Return what each of n calls took, s, shape ``(n,)``, and how many of them lost the core meanwhile."""
        reading = read(call, n, self.clocks)
        wall, cpu = reading.wall - self.wall_ns, reading.cpu - self.cpu_ns
        lost = wall - cpu > LOST_NS
        return np.maximum(np.where(lost, cpu, wall), 1.0) * 1e-9, int(lost.sum())  # nothing takes less than 1 ns


def read(call: Call, n: int, clocks: Clocks) -> Reading:
    """Call something n times and return what both clocks said of each call."""
    wall, cpu = clocks.wall, clocks.cpu
    of_wall, of_cpu = [0] * n, [0] * n
    for i in range(n):
        cpu_before = cpu()
        before = wall()
        call()
        after = wall()
        of_cpu[i] = cpu() - cpu_before
        of_wall[i] = after - before
    return Reading(np.array(of_wall, np.int64), np.array(of_cpu, np.int64))


def timer(clocks: Clocks | None = None) -> Timer:
    """Return clocks with the time that they themselves take."""
    clocks = clocks or Clocks()
    empty = read(_nothing, N_EMPTY, clocks)
    return Timer(clocks, float(np.median(empty.wall)), float(np.median(empty.cpu)))


@contextmanager
def undisturbed() -> Iterator[int]:
    """Keep this thread on one core, its linear algebra in this thread, and the garbage collector off; give the core.

    Everything is put back at the end, whatever happens. It is the last of the cores that we may use: interrupts like
    the first.
    """
    cores, is_collecting = os.sched_getaffinity(0), gc.isenabled()
    core = max(cores)
    try:
        os.sched_setaffinity(0, {core})
        gc.collect()
        gc.disable()
        with threadpool_limits(1):
            yield core
    finally:
        os.sched_setaffinity(0, cores)
        if is_collecting:
            gc.enable()


def _nothing() -> None:
    """Take no time."""
