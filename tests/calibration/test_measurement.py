import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.calibration.measurement import Measurement, Point, prediction_errors
from hil.calibration.operations import Operation
from hil.calibration.report import disturbed, held_out, held_out_rows, operation_rows, repeated
from sim.laws import cost
from sim.suites import SUITES, variant

SEAL = Operation('aead.seal', 'Ascon-AEAD128', 'byte', 'numba', lambda _: int)


def point(amount: int, first_s: float, second_s: float | None = None, *, is_held_out: bool = False) -> Point:
    """Return a point whose three calls took the same time in each pass."""
    return Point(amount, is_held_out, (np.full(3, first_s), np.full(3, first_s if second_s is None else second_s)))


def measured(*points: Point, operation: Operation = SEAL, n_lost: int = 0) -> Measurement:
    """Return a measurement of the given points."""
    return Measurement(operation, points, n_lost)


def test_a_prediction_is_compared_with_what_was_measured() -> None:
    """A curve of 1 us at 100 B and 3 us at 300 B predicts 2 us at 200 B: 1.6 us measured is +25 %, 2.5 us is -20 %."""
    found = prediction_errors([100, 300], [1e-6, 3e-6], [200, 200], [1.6e-6, 2.5e-6])
    assert found == [(200, pytest.approx(0.25)), (200, pytest.approx(-0.2))]


@given(st.lists(st.floats(1e-9, 1.0), min_size=3, max_size=12).map(sorted), st.data())
def test_the_prediction_is_the_one_that_engines_make(seconds: list[float], data: st.DataObject) -> None:
    """Claim: inside a curve, the errors are those of `sim.laws.cost`; shown on random curves and sizes."""
    amounts = [64 << i for i in range(len(seconds))]
    size = data.draw(st.integers(amounts[0], amounts[-1]))
    engine = cost(np.array(amounts, float), np.array(seconds), 0, len(amounts), float(size))
    (_, error), = prediction_errors(amounts, seconds, [size], [1.0])
    assert 1.0 + error == pytest.approx(engine, rel=1e-9)


def test_sizes_held_out_are_no_part_of_the_curve() -> None:
    """A size held out that took ten times too long changes no point of the curve; its error is -90 %."""
    found = measured(point(64, 1e-6), point(96, 1.5e-5, is_held_out=True), point(128, 2e-6))
    assert found.curve() == ([64, 128], [1e-6, 2e-6])
    assert found.errors() == [(96, pytest.approx(-0.9))]


def test_a_law_is_made_of_both_passes() -> None:
    """Three calls in each pass are six of the law, and the curve is the median of all of them."""
    found = measured(Point(64, False, (np.array([1.0, 1.0, 1.0]), np.array([1.0, 1.0, 4.0]))))
    assert found.curve() == ([64], [1.0])
    assert found.spread().n == 6


def test_the_report_counts_what_is_close_enough_and_names_the_worst() -> None:
    """Errors of +1 % and -10 %: one of two sizes is predicted, and the other is named."""
    found = [measured(point(64, 1e-6), point(91, 1.421875e-6 / 1.01, is_held_out=True),
                      point(128, 2e-6), point(192, 3e-6 / 0.9, is_held_out=True), point(256, 4e-6))]
    assert held_out(found) == ('1 of 2 sizes held out are predicted within 5%; the largest difference: aead.seal '
                               'Ascon-AEAD128 of 192 bytes, -10.0%')


def test_two_passes_are_compared_median_by_median() -> None:
    """Of three medians one is 20 % larger the second time: two agree, that one is named, and lost calls are counted."""
    found = [measured(point(64, 1e-6), point(128, 2e-6, 2.4e-6), n_lost=2),
             measured(point(1, 1e-3), operation=Operation('sig.sign', 'ML-DSA-44', 'op', 'liboqs', lambda _: int))]
    assert repeated(found) == ('2 of 3 medians are the same in two passes within 5%; the largest difference: aead.seal '
                               'Ascon-AEAD128 of 128 bytes, +20.0%')
    assert disturbed(found).startswith('2 of 18 calls lost the core')


def suites_measured(error: float) -> list[Measurement]:
    """Return what every suite needs, with one size held out that is predicted with an error."""
    names = {variant(suite.aead, suite.implementation) for suite in SUITES.values()}
    operations = [Operation(stage, name, 'byte', 'numba', lambda _: int)
                  for name in names for stage in ('aead.seal', 'aead.open')]
    operations.append(Operation('fl.aggregate', 'any', 'byte', 'numpy', lambda _: int))
    return [measured(point(64, 1e-6), point(96, 1.5e-6 / (1 + error), is_held_out=True), point(128, 2e-6),
                     operation=operation) for operation in operations]


@pytest.mark.parametrize(('error', 'within', 'told'), [
    (0.04, '2 of 2', 'the largest error is 4.0%'),
    (-0.06, '0 of 2', 'beyond it: -6.0% at aead.seal of 96 B; -6.0% at aead.open of 96 B')])
def test_every_suite_is_told_whether_it_is_predicted(error: float, within: str, told: str) -> None:
    """Claim: each shipped suite has a row, which says how many sizes are within 5 %, or where they are not."""
    rows = held_out_rows(suites_measured(error), {})
    assert [row['suite'] for row in rows] == [*SUITES, 'every suite']
    assert {(row['sizes within 5%'], row['where not']) for row in rows[:-1]} == {(within, told)}


def test_every_size_that_is_not_predicted_is_named() -> None:
    """Ten sizes of one cipher predicted 6 % to 15 % too large: all ten are told, the worst first."""
    suites, sizes = suites_measured(0.0), range(96, 976, 96)
    seal = next(i for i, each in enumerate(suites) if each.operation.name == 'aead.seal AES-128-GCM')
    held_out = [point(size, size / 64 * 1e-6 / (1.06 + i / 100), is_held_out=True) for i, size in enumerate(sizes)]
    suites[seal] = measured(point(64, 1e-6), *held_out, point(1024, 16e-6), operation=suites[seal].operation)
    told = next(row['where not'] for row in held_out_rows(suites, {}) if row['suite'] == 'classical')
    assert told.removeprefix('beyond it: ').split('; ') == [
        f'+{6 + i}.0% at aead.seal of {size} B' for i, size in reversed(list(enumerate(sizes)))]


def test_a_suite_that_cannot_be_timed_says_what_it_lacks() -> None:
    """Without ML-KEM-512, the suite that has it is not measured, and the others are."""
    rows = {row['suite']: row for row in held_out_rows(suites_measured(0.0), {'ML-KEM-512': 'it is not there'})}
    assert (rows['pqc-512']['sizes within 5%'], rows['pqc-512']['where not']) == (
        'not measured', 'ML-KEM-512 cannot be timed here')
    assert rows['pqc-768']['sizes within 5%'] == '2 of 2'


def test_operations_are_shown_at_a_size_that_was_timed_often() -> None:
    """Of sizes up to 128 KiB, 64 KiB is shown, with median, p95 and number of calls; an operation per op has none."""
    rows = operation_rows([
        measured(point(64, 1e-6), point(65_536, 2e-3), point(131_072, 4e-3)),
        measured(point(1, 5e-6), operation=Operation('kem.keygen', 'X25519', 'op', 'cryptography', lambda _: int))])
    assert [(row['operation'], row['of'], row['median'], row['p95'], row['n'], row['by']) for row in rows] == [
        ('aead.seal Ascon-AEAD128', '65,536 bytes', '2 ms', '2 ms', '6', 'numba'),
        ('kem.keygen X25519', '', '5 us', '5 us', '6', 'cryptography')]
    assert rows[0]['its 95 % interval'] == '2 ms to unknown', 'six calls bound no p95 from above'
