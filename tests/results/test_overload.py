"""A run of an overloaded hospital says so: its latencies are those of its length, not of the hospital."""

from html import unescape
from pathlib import Path

import numpy as np
import pytest

from analysis.report import render
from analysis.tables import run_tables
from sim.building import Hop, ModelBuilder
from sim.model import CONSUMER, ENDS_VISIT, LINK, PERIODIC, QUEUE, SERVE
from sim.results.folder import Run
from sim.results.overload import warnings
from tests.engine.small import add_stream
from tests.engines import Engine
from tests.results.runs import make
from tests.results.test_tables import shown


def periodic(b: ModelBuilder, gap_s: float, hops: list[Hop]) -> None:
    """Add a device that sends messages with a period."""
    row, stream = b.class_('device'), b.stream('vitals', 'vitals')
    b.entities(row, [-1])
    b.route(stream, row, hops)
    b.source(stream, row, PERIODIC, gap_s)


@pytest.mark.parametrize(('gap_s', 'is_overloaded'), [(0.5, True), (1.1, False)])
def test_a_station_that_is_given_more_than_it_can_do_is_named(
        engine: Engine, gap_s: float, is_overloaded: bool) -> None:
    """Work of 1 s each 0.5 s for 100 s: always busy, a hundred left in line; each 1.1 s: nothing to say."""
    b = ModelBuilder()
    periodic(b, gap_s, [Hop(SERVE, b.station('pod'))])
    found = warnings(engine(b.build(duration_s=100.0, warm_up_s=2.0), trace='none'))
    assert bool(found) is is_overloaded
    if is_overloaded:
        busy, line = found
        assert busy.startswith('overloaded: pod (busy 100.0 %)')
        waiting = int(line.partition('pod (')[2].partition(' ')[0])
        assert abs(waiting - 100) <= 1


def test_a_queue_that_grows_while_no_station_is_busy_is_named(engine: Engine) -> None:
    """A worker of 0.1 s whose credit is back after 0.9 s takes one message a second of two: half of them wait."""
    b = ModelBuilder()
    queue = b.queue('crypto', [b.station('pod')], prefetch=1, acknowledge_s=0.9)
    periodic(b, 0.5, [Hop(QUEUE, queue), Hop(SERVE, CONSUMER, amount=0.1, flags=ENDS_VISIT)])
    recording = engine(b.build(duration_s=100.0), trace='none')
    line, = warnings(recording)
    assert line.startswith('overloaded: the line still grew at the end of queue crypto (')
    assert abs(recording.queue_waiting_end[0] - 100) <= 2


def test_a_burst_at_the_end_is_no_overload(engine: Engine) -> None:
    """Thirty pieces of work arrive at 99.5 s of 100: all but one wait then, and nothing is warned of."""
    b = ModelBuilder()
    add_stream(b, 'vitals', [99.5] * 30, [Hop(SERVE, b.station('pod'))])
    recording = engine(b.build(duration_s=100.0), trace='none')
    assert recording.station_waiting_end.tolist() == [29]
    assert warnings(recording) == []


def test_jobs_that_the_run_leaves_unfinished_are_counted(engine: Engine) -> None:
    """Two of a hundred messages come so late that a drain of 1 s is too short for their 3 s; one of 101 is too few."""
    for times_s, n in (([*np.arange(98.0) * 0.5, 99.0, 99.1], 1), ([*np.arange(100.0) * 0.5, 99.0], 0)):
        b = ModelBuilder()
        add_stream(b, 'vitals', times_s, [Hop(SERVE, b.station('pod', (1.0,) * 9), amount=3.0)])
        found = warnings(engine(b.build(duration_s=100.0, drain_s=1.0), trace='none'))
        assert len(found) == n
        assert all(line.startswith('2 of 100 vitals jobs were unfinished when the run ended') for line in found)


def test_many_stations_are_counted_not_listed(engine: Engine) -> None:
    """Nine links that are busy all the time: five are named."""
    b = ModelBuilder()
    for i in range(9):
        link = b.station(f'link-{i}', (8.0,))
        add_stream(b, f'vitals-{i}', [0.0], [Hop(LINK, link, n_bytes=1_000, segment_bytes=100, window=2)])
    busy = warnings(engine(b.build(duration_s=100.0), trace='none'))[0]
    assert busy.count('(busy') == 5
    assert 'and 4 more' in busy


def test_an_overloaded_ward_is_not_shown_as_valid(tmp_path: Path, ward: Run) -> None:
    """A core link of 1 kbit/s: the manifest has the warnings, terminal and page show them; the usual ward has none."""
    slow = ('duration=60 s', 'warm_up=2 s', 'drain=1 s', 'learning=null', 'wiring.core.rate=1 kbit/s')
    runs = [make(tmp_path, overrides=slow, seed=seed, trace='none') for seed in (1, 2)]
    told = runs[0].manifest['warnings']
    assert any(line.startswith('overloaded: core-link-up (busy 100.0 %)') for line in told)
    assert any('jobs were unfinished' in line for line in told)
    page = unescape(render(runs[0]))
    assert '<span class="badge">valid</span>' not in page
    assert all(f'Warning: {line}.' in page for line in told)
    terminal = ' '.join(shown(run_tables(runs[:1])).split())
    assert all(f'Warning: {line}.' in terminal for line in told)
    both = ' '.join(shown(run_tables(runs)).split())
    assert all(f'Warning, seed {run.manifest["seed"]}: {run.manifest["warnings"][0]}' in both for run in runs)
    assert ward.manifest['warnings'] == []
    assert '<span class="badge">valid</span>' in render(ward)
    assert 'Warning' not in shown(run_tables([ward]))
