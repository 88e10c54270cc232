import random
import time
from collections import Counter
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.calibration import calibrating
from hil.calibration.operations import Operation, Unit
from hil.calibration.schedule import (
    BYTES_MIN,
    N_MAX,
    Calls,
    Cell,
    Limits,
    blocks,
    cells,
    held_out_size,
    n_calls,
    timed,
)
from hil.calibration.timing import Call, timer


def work(n_bytes: int) -> Call:
    """Return a call that hashes nothing but takes time in proportion to its amount."""
    return partial(bytes(n_bytes).count, b'x')


def operation(name: str = 'work', unit: Unit = 'byte', multiple: int = 1) -> Operation:
    """Return an operation of this test."""
    return Operation('a.stage', name, unit, 'python', work, multiple)


def cell(call_s: float, weight: float = 1.0, n_min: int = 1, name: str = 'work') -> Cell:
    """Return a cell that takes some time."""
    return Cell(operation(name), 64, False, call_s, 0.0, n_min, weight)


def unheard(_: float) -> None:
    """Take note of no progress."""


CELLS = st.lists(st.builds(cell, st.floats(1e-7, 2.0), st.sampled_from([1.0, 6.0]), st.integers(1, 60)),
                 min_size=1, max_size=20)


@given(CELLS, st.floats(0.0, 100.0))
def test_calls_fit_into_the_time_there_is(found: list[Cell], time_s: float) -> None:
    """Claim: each cell has its least and at most `N_MAX` calls; beyond the least, the whole fits; on random cells."""
    counts = n_calls(found, time_s)
    assert all(each.n_min <= n <= N_MAX for each, n in zip(found, counts, strict=True))
    if any(n > each.n_min for each, n in zip(found, counts, strict=True)):
        assert sum(n * each.cost_s for each, n in zip(found, counts, strict=True)) <= time_s * (1 + 1e-9)


@given(CELLS, st.floats(0.0, 50.0))
def test_more_time_is_never_fewer_calls(found: list[Cell], time_s: float) -> None:
    """Claim: with twice the time no cell has fewer calls; shown on random cells."""
    assert all(more >= n for more, n in zip(n_calls(found, 2 * time_s), n_calls(found, time_s), strict=True))


def test_cells_share_the_time_by_their_weight_and_not_by_their_cost() -> None:
    """Cells of 0.1, 0.2 and 0.4 s, the last of weight 2, share 100 s: 250, 125 and 125 calls."""
    assert n_calls([cell(0.1), cell(0.2), cell(0.4, 2.0)], 100.0) == pytest.approx([250, 125, 125], abs=1)


def test_a_block_costs_a_call_that_does_not_count() -> None:
    """Of 20 ms there are blocks of three calls, so that each costs 4/3 of itself; of 0.1 s blocks of one, as it is."""
    short, dear = cell(0.02), cell(0.1)
    assert (short.block_calls, short.cost_s) == (3, pytest.approx(0.08 / 3, rel=1e-3))
    assert (dear.block_calls, dear.cost_s) == (1, pytest.approx(0.1, rel=1e-3))


@pytest.mark.parametrize(('call_s', 'n_made'), [(1e-6, 26), (0.02, 4), (1.0, 1)])
def test_the_first_call_of_a_block_does_not_count_unless_it_is_dear(call_s: float, n_made: int) -> None:
    """A hundred calls are planned, there is time for one block: it makes one more than it counts, or just one."""
    made: list[int] = []
    counting = Operation('a.stage', 'counted', 'op', 'python', lambda _: lambda: made.append(1))
    counted = Cell(counting, 1, False, call_s, 0.0, 100)
    taken, = timed([counted], {}, timer(), 1e-9, random.Random(1), unheard)
    assert len(made) == n_made
    assert len(taken.seconds()) == max(n_made - 1, 1)


@given(CELLS, st.floats(0.0, 1.0), st.integers(0, 9))
def test_blocks_are_all_calls_in_a_reproducible_order(found: list[Cell], time_s: float, seed: int) -> None:
    """Claim: blocks add up to the calls of each cell, and the same seed gives the same order; on random cells."""
    counts = n_calls(found, time_s)
    order = blocks(found, counts, random.Random(seed))
    assert sum((Counter({i: n}) for i, n in order), Counter()) == Counter(dict(enumerate(counts)))
    assert order == blocks(found, counts, random.Random(seed))


def test_a_sweep_goes_over_neighbouring_sizes_one_after_the_other() -> None:
    """Three sizes of 20 blocks each: 20 sweeps over all three, up or down, between 4 and 16 of them up."""
    found = [Cell(operation(), amount, False, 1e-3, 0.0, 1) for amount in (64, 91, 128)]
    order = [i for i, _ in blocks(found, [60, 60, 60], random.Random(1))]
    sweeps = Counter(tuple(order[at:at + 3]) for at in range(0, len(order), 3))
    assert set(sweeps) == {(0, 1, 2), (2, 1, 0)}
    assert 4 <= sweeps[0, 1, 2] <= 16


def test_a_size_with_few_blocks_is_timed_beside_its_neighbours() -> None:
    """Of two sizes with 5 and 3 blocks, each of the second is next to one of the first, in 50 orders."""
    found = [Cell(operation(), amount, False, 1e-3, 0.0, 1) for amount in (64, 91)]
    for seed in range(50):
        order = ''.join(str(i) for i, _ in blocks(found, [15, 9], random.Random(seed)))
        assert Counter(order) == {'0': 5, '1': 3}
        assert all('0' in order[max(at - 1, 0):at + 2] for at, which in enumerate(order) if which == '1'), order


def test_blocks_of_all_operations_are_mixed() -> None:
    """Two operations of 40 blocks each: of the first half of the order, each has between 10 and 30."""
    found = [cell(1e-3, name='one'), cell(1e-3, name='other')]
    order = blocks(found, [120, 120], random.Random(1))
    assert len(order) == 80
    assert 10 <= sum(i == 0 for i, _ in order[:40]) <= 30


def test_sizes_double_and_the_means_between_them_are_held_out() -> None:
    """Sizes from 64 B to a limit of 1,000 B: 64, 128, 256, 512, and between each two the geometric mean, held out."""
    found = list(cells(operation(), {}, timer(), Limits(1.0, 1_000, 5)))
    assert [each.amount for each in found if not each.is_held_out] == [BYTES_MIN, 128, 256, 512]
    assert [each.amount for each in found if each.is_held_out] == [91, 181, 362]


def test_a_longer_calibration_has_larger_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 MiB in the default length, ten times that in ten times as long, less in a short one or with little memory."""
    monkeypatch.setattr(calibrating, 'available_bytes', lambda: None)
    for seconds, mib, call_s in ((9.0, 8, 0.075), (18.0, 16, 0.15), (120.0, 16, 1.0), (1_200.0, 160, 1.0)):
        limits = calibrating.limits_of(seconds)
        assert (limits.bytes_max >> 20, limits.call_s_max) == (mib, pytest.approx(call_s))
    monkeypatch.setattr(calibrating, 'available_bytes', lambda: 1 << 30)
    assert calibrating.limits_of(1_200.0).bytes_max == 16 << 20


def test_no_size_is_timed_beyond_the_first_call_that_takes_too_long() -> None:
    """With a limit of no time at all there are the two smallest sizes, of which a curve is made, and one between."""
    assert [each.amount for each in cells(operation(), {}, timer(), Limits(0.0, 1 << 20, 5))] == [BYTES_MIN, 91, 128]


@pytest.mark.parametrize(('call_s', 'n'), [(1e-6, 5), (0.03, 5), (0.04, 3), (0.1, 1), (1.0, 1), (3.0, 1)])
def test_dear_sizes_have_fewer_calls_than_others_but_never_none(call_s: float, n: int) -> None:
    """With calls of up to 1 s, those of a size take 0.15 s together at least, but are five at most and one always."""
    assert Limits(1.0, 1 << 20, 5).n_min_of_size(call_s) == n


@pytest.mark.parametrize(('unit', 'amount'), [('op', 1), ('sample', 200)])
def test_an_operation_without_sizes_is_one_cell(unit: Unit, amount: int) -> None:
    """An operation per op or per sample has one amount, and the least number of calls that was asked for."""
    found, = cells(operation(unit=unit), {}, timer(), Limits(1.0, 1 << 20, 5))
    assert (found.amount, found.n_min, found.is_held_out) == (amount, 5, False)


@given(st.integers(6, 25), st.sampled_from([1, 32]))
def test_a_size_held_out_lies_between_its_neighbours(power: int, multiple: int) -> None:
    """Claim: it is a multiple, strictly between, and within one multiple of the geometric mean; shown on all sizes."""
    below, above = 1 << power, 2 << power
    size = held_out_size(below, above, multiple)
    assert size % multiple == 0
    assert below < size < above
    assert abs(size - (below * above) ** 0.5) <= multiple


def test_every_cell_is_timed_even_if_there_is_no_time() -> None:
    """A pass of a nanosecond: each of three cells has a call all the same, and a positive duration."""
    found = [cell(1e-3, name=name) for name in ('one', 'two', 'three')]
    calls: Calls = {}
    taken = timed(found, calls, timer(), 1e-9, random.Random(1), unheard)
    assert [len(each.seconds()) for each in taken] == [1, 1, 1]
    assert all((each.seconds() > 0).all() for each in taken)
    assert set(calls) == set(found), 'what was prepared is there for another pass'


def test_a_pass_makes_all_its_calls_and_tells_how_far_it_is() -> None:
    """A generous pass over two cheap cells: each has all calls that it can use, and the share told rises up to 1."""
    told: list[float] = []
    found = [cell(1e-6, name='one'), cell(1e-6, name='other')]
    taken = timed(found, {}, timer(), 3600.0, random.Random(1), told.append)
    assert [len(each.seconds()) for each in taken] == [N_MAX, N_MAX]
    assert told == sorted(told)
    assert told[0] >= 0.0
    assert told[-1] <= 1.0


def test_time_that_is_up_cuts_all_cells_alike() -> None:
    """Calls take 20 times what was guessed: when time is up, each cell has some of its calls, and none has all."""
    slow = [Cell(Operation('a.stage', str(i), 'op', 'python', lambda _: partial(time.sleep, 2e-3)), 1, False, 1e-4,
                 0.0, 1) for i in range(3)]
    taken = timed(slow, {}, timer(), 0.1, random.Random(1), unheard)
    planned = n_calls(slow, 0.1)
    assert all(1 <= len(each.seconds()) < n for each, n in zip(taken, planned, strict=True))
