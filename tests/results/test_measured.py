"""Runs on hardware, as the analysis has them: their page, and their comparison, with every column marked.

The folders are those of a simulated run whose manifest and summary are changed, so that what must come out is known;
`tests/paced` has real ones.
"""

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from scipy import stats

from analysis.compare import SIMULATED_ONLY, compare
from analysis.comparison_report import Side, render_comparison
from analysis.hardware import hardware_tables
from analysis.report import write_report
from analysis.sheets import comparison_sheet
from analysis.statistics import welch_interval
from sim.errors import InputError
from sim.results.folder import Run, read_run
from sim.results.summary import times
from tests.results.runs import ended, start
from tests.test_report import LOADS, PROBE, browse

WORKER = {'node': 'pi-<1>', 'place': 'crypto', 'version': '0.1.0', 'provider': 'pqcrypto', 'machine': 'aarch64',
          'kernel': '6.1', 'cores': 4, 'memory_mib': 3_000, 'suite': 'pqc-768'}
FACTS = {'testbed': 'host testbed', 'is_padded': True, 'places': ['crypto'], 'model': 'simulated',
         'broker': 'RabbitMQ 3.10.8', 'kem_provider': 'pqcrypto 1', 'workers': [WORKER], 'replies': {'delivered': 40},
         'pacing': {'n_held': 0, 'n_dead_letters': 0, 'n_unprepared': 0, 'sent_late_p50_s': 1e-5,
                    'sent_late_p99_s': 2e-4, 'heard_late_p50_s': 0.0, 'heard_late_p99_s': 1e-4,
                    'event_late_p50_s': 1e-5, 'event_late_p99_s': 1e-3}, 'scheduling': 'fifo', 'steal': 0.0}
Measure = Callable[..., Run]


@pytest.fixture
def measure(quiet: Run, tmp_path: Path) -> Measure:
    """A function that writes a run on hardware whose latencies are those of the simulated one and some seconds more."""

    def write(name: str, longer_s: float = 0.0, reasons: tuple[str, ...] = (), seed: int | None = None,
              **facts: object) -> Run:
        folder = Path(shutil.copytree(quiet.folder, tmp_path / 'hil' / f'seed-1-{name}'))
        for table in ('devices', 'stations', 'stages'):
            (folder / f'{table}.parquet').unlink(missing_ok=True)
        rows = np.arange(1, 41) * 1e-3
        pl.DataFrame({'job': range(40), 'flow': ['vitals'] * 40, 'outcome': ['delivered'] * 40,
                      'round_trip_s': 4 * rows, 'waiting_s': rows, 'service_s': rows, 'broker_and_wire_s': 2 * rows,
                      'is_counted': [True] * 40}).write_parquet(folder / 'chains.parquet')
        summary = [row for row in quiet.summary if row['unit'] not in ('J', 'd') and row['station'] is None]
        summary = [row | {key: row[key] + longer_s for key in ('mean', 'p50', 'p95', 'p99')}
                   if row['metric'] == 'latency' and row['p50'] is not None else row for row in summary]
        summary += [times(f'measured_{part}', (factor * rows).tolist(), flow='vitals') for part, factor in
                    (('round_trip', 4), ('waiting', 1), ('service', 1), ('broker_and_wire', 2))]
        (folder / 'summary.json').write_text(json.dumps(summary))
        (folder / 'manifest.json').write_text(json.dumps(quiet.manifest | {
            'world': 'hil', 'engine': 'paced', 'trace': 'jobs', 'is_valid': not reasons,
            'invalid_because': list(reasons), 'hardware': FACTS | facts,
            'seed': quiet.manifest['seed'] if seed is None else seed}))
        return read_run(folder)

    return write


def test_a_page_says_first_whether_the_run_counts_and_on_what(measure: Measure) -> None:
    """Reasons, each a line of its own in red, before any number; testbed, padding, workers; whole jobs marked."""
    run = measure('a', reasons=('the twin was late', 'the <broker> stopped'))
    page = write_report(run.folder).read_text()
    head = page[:page.index('<section')]
    assert re.findall(r'<p class="bad">Not valid, and never averaged: ([^<]*)\.</p>', head) == [
        'the twin was late', 'the &lt;broker&gt; stopped']
    for words in ('measured</span>', 'host testbed</span>', 'padded</span>', 'not valid</span>', 'no computer of that'):
        assert words in head
    for words in ('pi-&lt;1&gt;', 'Whole jobs, in part simulated, in part measured, padded', '--inventory local-padded',
                  'Measured on hardware, padded', 'broker and wire'):
        assert words in page
    assert page.count('<svg') >= 1
    assert not re.findall(LOADS, page)
    assert {repr(row['p95']) for row in run.summary if row['metric'].startswith('measured_')} <= set(
        re.findall(r'<data value="([^"]+)"', page))


@pytest.mark.parametrize(('is_valid', 'because', 'reasons'), [
    (True, None, []), (False, ['late', 'throttled'], ['late', 'throttled']), (False, 'late', ['late']),
    (False, None, ['its manifest does not say why']), (False, [], ['its manifest does not say why'])])
def test_reasons_are_told_alike_wherever_they_are(measure: Measure, *, is_valid: bool, because: object,
                                                  reasons: list[str]) -> None:
    """A list, a text, or nothing: page, terminal and whoever wants to average it give the same reasons."""
    folder = measure('a').folder
    path = folder / 'manifest.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | {'is_valid': is_valid, 'invalid_because': because}))
    run = read_run(folder)
    told = 'Not valid, and never averaged: '
    assert run.reasons() == reasons
    assert re.findall(rf'{told}([^<]*)\.</p>', write_report(folder).read_text()) == reasons
    console = Console(width=200, file=io.StringIO())
    console.print(hardware_tables(run))
    assert isinstance(console.file, io.StringIO)
    assert re.findall(rf'{told}(.*)\.', console.file.getvalue()) == reasons
    if reasons:
        with pytest.raises(InputError, match=rf'is not valid \({reasons[0]}\)'):
            run.check_valid()
    else:
        run.check_valid()


def test_a_page_of_a_good_run_has_nothing_in_red(measure: Measure) -> None:
    """Valid, on nodes, not padded: no such badge and no reason."""
    page = write_report(measure('a', testbed='nodes', is_padded=False).folder).read_text()
    assert 'Not valid' not in page
    assert 'padded' not in page[:page.index('id="reproduce"')]
    assert 'One machine played' not in page


@pytest.mark.parametrize('width', [1200, 500])
def test_browser_shows_the_page_of_a_run_on_hardware(width: int, measure: Measure, tmp_path: Path) -> None:
    """Chromium lays out its figures, writes nothing on the console but our probe, and never scrolls sideways."""
    text = write_report(measure('a', reasons=('late',)).folder).read_text()
    page = tmp_path / 'page.html'
    page.write_text(text.replace('</body>', PROBE + '</body>'))
    seen, console = browse(page, width, tmp_path / 'chromium')
    assert console == ['probe']
    assert seen['page'] <= seen['width']
    assert len(seen['svgs']) == text.count('<svg')
    assert all(wide > 400 and high > 100 for wide, high in seen['svgs'])


def test_damage_of_what_hardware_was_is_told(measure: Measure) -> None:
    """A testbed without its pacing: one line that says so."""
    run = measure('a')
    manifest = run.manifest
    del manifest['hardware']['pacing']
    (run.folder / 'manifest.json').write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r'manifest.json: hardware.pacing: is missing'):
        write_report(run.folder)


def test_measurements_of_one_seed_are_each_compared_with_the_simulation_of_it(measure: Measure, quiet: Run) -> None:
    """Three, longer by 1, 2 and 3 ms: a difference of 2 ms with the t interval of three runs, every column marked."""
    measured = [measure(name, longer_s) for name, longer_s in (('a', 1e-3), ('b', 2e-3), ('c', 3e-3))]
    found = compare([quiet], measured)
    row = found.filter(metric='latency', statistic='p50', of='vitals').row(0, named=True)
    half = stats.t.ppf(0.975, 2) * 1e-3 / np.sqrt(3)
    assert (row['n_pairs'], row['is_paired']) == (3, True)
    assert row['difference'] == pytest.approx(2e-3)
    assert (row['ci95_low'], row['ci95_high']) == (pytest.approx(2e-3 - half), pytest.approx(2e-3 + half))
    assert not set(SIMULATED_ONLY) & set(found['metric'])
    sheet = comparison_sheet(found, 'a', 'b', ('simulated', 'measured, host testbed, padded'))
    assert sheet.title == 'b against a (measured, host testbed, padded, against simulated)'
    assert sheet.headers[2:4] == ('a\nsimulated', 'b\nmeasured,\nhost testbed,\npadded')
    page = render_comparison([Side('a', [quiet]), Side('b', measured)], [found])
    assert '<th>a simulated</th><th>b measured, host testbed, padded</th>' in page.replace('\n', '')
    assert page.count('<span class="badge">') == 2
    assert 'Numbers of unlike worlds' in page


def test_two_sets_of_measurements_are_independent_samples(measure: Measure) -> None:
    """Of one seed, two against three: Welch's interval, as SciPy has it."""
    base = [measure('a', 1e-3), measure('b', 2e-3)]
    other = [measure('c', 4e-3), measure('d', 5e-3), measure('e', 9e-3)]
    row = compare(base, other).filter(metric='latency', statistic='p50', of='vitals').row(0, named=True)
    expected = stats.ttest_ind([4e-3, 5e-3, 9e-3], [1e-3, 2e-3], equal_var=False).confidence_interval(0.95)
    assert (row['n_pairs'], row['is_paired']) == (2, False)
    assert row['difference'] == pytest.approx(4.5e-3)
    assert (row['ci95_low'], row['ci95_high']) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_independent_samples_without_spread_have_an_interval_of_no_width() -> None:
    """Alike within each side: the difference is known; a side of one has no interval."""
    assert (welch_interval([1.0, 1.0], [3.0, 3.0]).low, welch_interval([1.0, 1.0], [3.0, 3.0]).high) == (2.0, 2.0)
    assert welch_interval([1.0], [3.0, 4.0]).low is None


def test_what_cannot_be_compared_is_refused(measure: Measure, quiet: Run) -> None:
    """A run that is not valid; a testbed alone with whole jobs; padded and not on one side."""
    with pytest.raises(InputError, match='is not valid'):
        compare([quiet], [measure('a', reasons=('late',))])
    with pytest.raises(InputError, match='testbed alone'):
        compare([quiet], [measure('b', model='none')])
    with pytest.raises(InputError, match='several worlds'):
        compare([quiet], [measure('c'), measure('d', is_padded=False)])


def test_the_command_compares_folders_of_two_worlds(measure: Measure, quiet: Run, tmp_path: Path) -> None:
    """Two measurements in one folder against a simulated run: a marked table, and a page; together no report."""
    folder = [measure('a', 1e-3), measure('b', 2e-3)][0].folder.parent
    code, out, errors = ended(start('compare', quiet.folder, folder, '--out', tmp_path / 'out'))
    assert (code, errors) == (0, '')
    for words in ('measured, host testbed, padded, against simulated', 'simulated', '2 runs, each against that'):
        assert words in ' '.join(out.split())
    code, out, errors = ended(start('report', folder))
    assert (code, out, errors.count('\n')) == (2, '', 1)
    assert 'name one, or compare them' in errors
