"""summary.json is a list of rows with the same keys, whose numbers are finite or absent."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from sim.loading import load
from sim.lowering import lower
from sim.model import OUTCOMES
from sim.results.folder import Run
from sim.results.recording import Recording
from sim.results.summary import summarise
from tests.results.runs import QUIET, make

KEYS = ['metric', 'flow', 'class', 'station', 'unit', 'n', 'mean', 'p50', 'p95', 'p99', 'ci95_low', 'ci95_high']
UNITS = {'job', 's', '1', 'B', 'J', 'd', 'round'}
WITH_PERCENTILES = {'latency', 'energy', 'round_time', 'distribution_time'}


def strict(folder: Path) -> list[dict[str, object]]:
    """Read summary.json as other languages do: NaN and Infinity are errors."""
    def refuse(constant: str) -> None:
        raise AssertionError(f'{constant} in summary.json')

    rows: list[dict[str, object]] = json.loads((folder / 'summary.json').read_text('utf-8'), parse_constant=refuse)
    return rows


@pytest.fixture(params=['ward', 'quiet', 'nothing happens'])
def rows(request: pytest.FixtureRequest, tmp_path: Path) -> list[dict[str, object]]:
    """Summaries of a ward, of a few messages, and of a time in which none is sent."""
    if request.param == 'nothing happens':
        return strict(make(tmp_path, QUIET, ['duration=500 ms', 'learning=null']).folder)
    return strict(request.getfixturevalue(request.param).folder)


def test_every_row_has_exactly_the_stated_keys(rows: list[dict[str, object]]) -> None:
    """Names and order of the keys of every row."""
    assert all(list(row) == KEYS for row in rows)


def test_every_number_is_finite_or_absent(rows: list[dict[str, object]]) -> None:
    """Counts are whole, statistics finite, and one run has no interval."""
    for row in rows:
        assert isinstance(row['n'], int)
        for key in ('mean', 'p50', 'p95', 'p99'):
            value = row[key]
            assert value is None or (isinstance(value, float) and math.isfinite(value)), row
        assert row['ci95_low'] is row['ci95_high'] is None


def test_a_row_says_what_it_is_of_and_in_what_unit(rows: list[dict[str, object]]) -> None:
    """At most one of flow, class and station, or a class in a flow; a known unit; no two rows of the same."""
    for row in rows:
        of = tuple(key for key in ('flow', 'class', 'station') if row[key] is not None)
        assert len(of) <= 1 or (of == ('flow', 'class') and row['metric'] == 'deadline_miss_ratio')
        assert row['unit'] in UNITS
    names = [tuple(row[key] for key in KEYS[:4]) for row in rows]
    assert len(set(names)) == len(names)


def test_percentiles_are_there_where_values_are_and_only_there(rows: list[dict[str, object]]) -> None:
    """Of latency, energy and rounds with n > 0, in order; None for counts and ratios."""
    for row in rows:
        percentiles = [row['p50'], row['p95'], row['p99']]
        if row['metric'] in WITH_PERCENTILES and row['n']:
            assert percentiles == sorted(percentiles)  # type: ignore[type-var]  # None would not compare
        else:
            assert percentiles == [None] * 3


def test_every_flow_has_a_row_for_each_outcome(rows: list[dict[str, object]]) -> None:
    """Launched and the six outcomes, zeros too."""
    flows = {row['flow'] for row in rows if row['flow']}
    for flow in flows:
        metrics = {row['metric'] for row in rows if row['flow'] == flow}
        assert metrics >= {'launched', *OUTCOMES, 'latency', 'wire_bytes'}


def test_a_computer_that_served_nothing_has_a_utilisation_of_zero(tmp_path: Path) -> None:
    """Pods, broker and server when nothing is sent: rows are the same in every run, so that runs compare."""
    run = make(tmp_path, QUIET, ['duration=500 ms', 'learning=null'])
    found = {row['station']: row['mean'] for row in run.summary if row['metric'] == 'utilisation'}
    assert found == {'crypto-1': 0.0, 'broker': 0.0, 'server': 0.0}


def test_a_battery_that_nothing_drains_has_no_days(quiet: Run) -> None:
    """Energy zero: the days are not a number of days, so the mean is None."""
    model = lower(*load(QUIET))
    classes = dataclasses.replace(model.classes, base_w=np.zeros_like(model.classes.base_w))
    idle = dataclasses.replace(model, classes=classes)
    rows = {row['metric']: row for row in summarise(Recording(idle, 'none')) if row['class'] == 'pump'}
    assert rows['battery_days']['mean'] is rows['battery_days_without_crypto']['mean'] is None
    assert any(row['metric'] == 'battery_days' and row['mean'] > 0 for row in quiet.summary)
