import gc
import os
from collections.abc import Iterator

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from hil.calibration.timing import LOST_NS, Clocks, Timer, read, timer, undisturbed


def scripted(*readings: int) -> Iterator[int]:
    """Return what a clock says, reading after reading."""
    return iter(readings)


def clocks(wall: Iterator[int], cpu: Iterator[int]) -> Clocks:
    """Return clocks that follow a script."""
    return Clocks(lambda: next(wall), lambda: next(cpu))


def threads() -> list[int]:
    """Return how many threads each library for linear algebra uses."""
    return [library['num_threads'] for library in threadpool_info() if library['user_api'] == 'blas']


def test_both_clocks_are_read_around_every_call() -> None:
    """Scripted clocks put two calls 70 and 50 ns (wall), 90 and 60 ns (CPU) apart: that is returned, for two calls."""
    made = []
    reading = read(lambda: made.append(1), 2, clocks(scripted(10, 80, 100, 150), scripted(0, 90, 95, 155)))
    assert reading.wall.tolist() == [70, 50]
    assert reading.cpu.tolist() == [90, 60]
    assert len(made) == 2


def test_the_time_of_the_clocks_is_taken_off() -> None:
    """A call of 500 ns by a wall clock that takes 40 ns itself lasted 460 ns."""
    durations, n_lost = Timer(clocks(scripted(0, 500), scripted(0, 700)), 40.0, 200.0).durations(lambda: None, 1)
    assert durations.tolist() == pytest.approx([460e-9], rel=1e-12)
    assert n_lost == 0


def test_cpu_time_counts_where_the_core_was_lost() -> None:
    """Of two calls of 1 us CPU time one takes 4 ms by the wall clock: 1 us counts. At the limit, wall counts."""
    wall, cpu = scripted(0, 1_000, 1_000, 4_001_000, 0, 1_000 + LOST_NS), scripted(0, 1_000, 0, 1_000, 0, 1_000)
    timed = Timer(clocks(wall, cpu), 0.0, 0.0)
    durations, n_lost = timed.durations(lambda: None, 2)
    assert durations.tolist() == pytest.approx([1e-6, 1e-6], rel=1e-12)
    assert n_lost == 1
    durations, n_lost = timed.durations(lambda: None, 1)
    assert (durations[0], n_lost) == (pytest.approx((1_000 + LOST_NS) * 1e-9), 0)


def test_no_call_takes_no_time() -> None:
    """A call that is shorter than the clocks' own time takes 1 ns: a profile has no cost of zero."""
    durations, _ = Timer(clocks(scripted(0, 30), scripted(0, 30)), 40.0, 40.0).durations(lambda: None, 1)
    assert durations.tolist() == [1e-9]


def test_the_clocks_own_time_is_the_median_of_calls_of_nothing() -> None:
    """Clocks that advance by 25 and 30 ns at each reading take 25 ns between two of the wall, 30 of the CPU."""
    wall, cpu = (iter(range(0, 10**9, step)) for step in (25, 30))
    found = timer(clocks(wall, cpu))
    assert (found.wall_ns, found.cpu_ns) == (25.0, 30.0)


def test_real_clocks_give_every_call_a_duration() -> None:
    """A hundred calls of real work on the real clocks: a hundred durations, all of them positive."""
    durations, _ = timer().durations(lambda: sum(range(1_000)), 100)
    assert durations.shape == (100,)
    assert np.all(durations > 0)


def test_a_measurement_has_one_core_one_thread_and_no_collector() -> None:
    """Inside, the thread may use one core of those it had, linear algebra has one thread, and the collector is off."""
    before = os.sched_getaffinity(0)
    with undisturbed() as core:
        assert os.sched_getaffinity(0) == {core} <= before
        assert not gc.isenabled()
        assert set(threads()) == {1}


@pytest.mark.parametrize('was_collecting', [True, False])
def test_everything_is_put_back_after_an_error(was_collecting: bool) -> None:
    """An error inside goes through, and then cores, threads and the collector are as they were before, on or off."""
    cores, n_threads = os.sched_getaffinity(0), threads()
    if not was_collecting:
        gc.disable()
    try:
        with pytest.raises(ZeroDivisionError), undisturbed():
            raise ZeroDivisionError
        assert gc.isenabled() is was_collecting
    finally:
        gc.enable()
    assert (os.sched_getaffinity(0), threads()) == (cores, n_threads)
