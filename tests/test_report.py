import json
import math
import re
import shutil
import subprocess
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from analysis import figures
from analysis.asked import asked
from analysis.compare import compare
from analysis.comparison_report import Side, page_name, write_comparison
from analysis.formats import spell
from analysis.replication_report import write_replications
from analysis.replications import intervals
from analysis.report import completed_latencies, flow_names, stage_times, write_report
from sim.loading import load
from sim.results.contents import write_run
from sim.results.folder import Run, complete_folder, read_run
from sim.results.recording import Trace
from sim.running import execute

SHORT = ('duration=20 s', 'warm_up=2 s', 'drain=5 s', 'learning.start=3 s', 'learning.pause=1 s', 'learning.rounds=2')
CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
LOADS = r'https?:|//[a-z]|<script|<link|<img|<iframe|\bsrc=|@import|url\((?!#)'
MARKUP = '<script>--></style>$x'
PROBE = """<script>
  console.info('probe');
  const svgs = [...document.querySelectorAll('figure svg')].map(svg => svg.getBoundingClientRect());
  document.documentElement.dataset.seen = JSON.stringify({
    width: innerWidth, page: document.documentElement.scrollWidth,
    svgs: svgs.map(box => [box.width, box.height]), images: document.images.length,
  });
</script>"""


def make_run(folder: Path, *overrides: str, trace: Trace = 'stages') -> Path:
    """Simulate the ward for a few seconds and leave its run folder."""
    execution = execute(*load('ward', (*SHORT, *overrides)), trace=trace)
    with complete_folder(folder) as partial:
        write_run(partial, execution)
    return folder


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has every table."""
    return make_run(tmp_path_factory.mktemp('runs') / 'seed-1')


@pytest.fixture
def hostile(folder: Path, tmp_path: Path) -> Path:
    """The same run with names that no scenario allows and numbers that are none."""
    copy = Path(shutil.copytree(folder, tmp_path / 'seed-1'))
    manifest, summary = read_run(copy).manifest, read_run(copy).summary
    manifest |= {'scenario': '<script>alert(1)</script>', 'git_commit': None}
    for row in summary:
        row['flow'] = row['flow'] and row['flow'] + MARKUP
    values = (None, math.nan, math.inf, 0.0)
    for i in range(12):
        name = f'{i}-"<i>$x_' + 'very-long-' * 20
        row: dict[str, Any] = dict.fromkeys(summary[0]) | {'class': name, 'n': 3}
        summary += [row | {'metric': metric, 'unit': unit, 'mean': values[(i + shift) % 4]} for shift, (metric, unit) in
                    enumerate((('energy', 'J'), ('crypto_energy_share', '1'), ('battery_days', 'd')))]
    (copy / 'manifest.json').write_text(json.dumps(manifest))
    (copy / 'summary.json').write_text(json.dumps(summary))
    for table in ('jobs', 'stages'):
        path, column = copy / f'{table}.parquet', 'flow' if table == 'jobs' else 'stage'
        pl.read_parquet(path).with_columns(pl.col(column) + MARKUP).write_parquet(path)
    return copy


def page_of(folder: Path) -> str:
    """Return the text of a run's report."""
    return write_report(folder).read_text('utf-8')


def test_report_is_one_file_that_asks_for_nothing(folder: Path) -> None:
    """The page holds no address and no element that loads anything; four figures stand in it as SVG."""
    page = page_of(folder)
    assert write_report(folder) == folder / 'report.html'
    assert not re.findall(LOADS, page)
    assert page.count('<svg') == 4


def test_ids_are_unique_and_every_reference_has_one(folder: Path) -> None:
    """No two figures share an id, and what a figure refers to is in the page."""
    page = page_of(folder)
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', page)) <= set(ids)


def test_same_run_gives_the_same_page(folder: Path) -> None:
    """The page is a function of the folder, byte for byte: no date of its own and no random ids."""
    assert page_of(folder) == page_of(folder)


def test_numbers_of_the_summary_stand_in_full(folder: Path) -> None:
    """Every mean and percentile of summary.json is in the page with all its digits."""
    page = page_of(folder)
    shown = set(re.findall(r'<data value="([^"]+)"', page))
    values = [row[part] for row in read_run(folder).summary for part in ('mean', 'p50', 'p95', 'p99')]
    assert {repr(value) for value in values if value is not None} <= shown


def test_report_says_what_was_run_and_how_to_do_it_again(folder: Path) -> None:
    """World, seed, hash, every profile's checksum, the command and the whole scenario are in the page."""
    page, run = page_of(folder), read_run(folder)
    assert '<span class="badge">simulated</span>' in page
    assert '<span class="badge">valid</span>' in page
    assert run.manifest['scenario_hash'] in page
    assert all(name in page and checksum in page for name, checksum in run.manifest['profiles'].items())
    assert 'iomtwin run scenario.yaml --seed 1 --trace stages' in page
    assert run.scenario_text in unescape(page)


def test_report_says_what_its_cryptography_claims(folder: Path) -> None:
    """Suite with its primitives, categories of keys and signatures, forward secrecy: as the manifest has them."""
    said = dict(re.findall(r'<dt>(.*?)</dt><dd>(.*?)</dd>', page_of(folder)))
    security = read_run(folder).manifest['security']
    assert said['Suite'].startswith(f'{security["suite"]} ({security["kem"]}, {security["aead"]}, ')
    assert said['Keys'] == f'NIST category {security["key_category"]}'
    assert said['Forward secrecy'] == security['forward_secrecy']
    assert said['Cryptography'] == f'{security["aead"]}, {security["kem"]}'  # nothing of the ward is signed


def test_report_lists_the_primitives_that_its_claims_are_of(folder: Path) -> None:
    """Pre-shared keys without a KEM, and signed revocations: the signature has a category, and so it is listed."""
    run = read_run(folder)
    security = run.manifest['security'] | {'key_category': None, 'signature_category': 3}
    said = dict(asked(run.scenario, security))
    assert said['Cryptography'] == f'{security["aead"]}, {security["signature"]}'
    assert said['Signatures'] == 'NIST category 3'


def test_invalid_run_says_so_and_why(folder: Path, tmp_path: Path) -> None:
    """A run that does not count carries its reason in the header."""
    copy = Path(shutil.copytree(folder, tmp_path / 'seed-1'))
    manifest = read_run(copy).manifest | {'is_valid': False, 'invalid_because': ['pacing error', 'throttled']}
    (copy / 'manifest.json').write_text(json.dumps(manifest))
    page = page_of(copy)
    assert 'not valid: pacing error; throttled' in page
    assert '<span class="badge">valid</span>' not in page


def test_no_two_ticks_of_a_panel_overlap(folder: Path) -> None:
    """Where the time goes: the labels of the ticks of each panel stand apart, as Matplotlib measures them."""
    run = read_run(folder)
    times = stage_times(run.table('jobs'), run.table('stages'), flow_names(run.summary))
    figure = figures.stage_figure(times)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    assert len(figure.axes) == times['flow'].n_unique()
    for axes in figure.axes:
        low, high = axes.get_xlim()
        labels = [label for label in axes.get_xticklabels() if low <= label.get_position()[0] <= high]
        boxes = sorted((box.x0, box.x1) for box in (label.get_window_extent() for label in labels))
        assert len(boxes) > 1
        assert all(end < begin for (_, end), (begin, _) in pairwise(boxes))


@pytest.fixture(scope='module')
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Three seeds of the ward."""
    out = tmp_path_factory.mktemp('seeds')
    return [read_run(make_run(out / f'seed-{seed}', f'seed={seed}', trace='none')) for seed in (1, 2, 3)]


def test_page_of_replications_has_every_interval_and_a_figure(seeds: list[Run], tmp_path: Path) -> None:
    """Mean and bounds of every metric in full, one figure, what was asked, and nothing that loads anything."""
    page = (write_replications(seeds, tmp_path) / 'report.html').read_text('utf-8')
    shown = set(re.findall(r'<data value="([^"]+)"', page))
    for row in intervals(seeds).to_dicts():
        assert {repr(row[name]) for name in ('mean', 'ci95_low', 'ci95_high') if row[name] is not None} <= shown
    assert page.count('<svg') == 1
    assert 'Seeds 1, 2, 3;' in page
    assert 'iomtwin run scenario.yaml --seed 1 --replications 3' in page
    assert not re.findall(LOADS, page)


def test_page_of_a_comparison_says_what_differs_and_by_how_much(seeds: list[Run], tmp_path: Path) -> None:
    """Without sealing and without learning, two seeds: the keys, every difference in full, what is lacking, figures."""
    unlike = ('crypto.aead=none', 'learning=null')
    plain = [read_run(make_run(tmp_path / f'seed-{seed}', f'seed={seed}', *unlike, trace='none')) for seed in (1, 2)]
    sides = [Side('ward', seeds), Side('plain <b>', plain), Side('again', seeds)]
    differences = [compare(seeds, other.runs) for other in sides[1:]]
    page = write_comparison(sides, differences, tmp_path / 'compare').read_text('utf-8')
    shown = set(re.findall(r'<data value="([^"]+)"', page))
    moved = differences[0].filter((pl.col('difference') != 0) & pl.col('difference').is_not_null())
    assert {repr(value) for value in moved['difference']} <= shown
    assert re.search(r'<th scope="row">crypto.aead</th><td[^>]*>Ascon-AEAD128</td><td[^>]*>none</td>', page)
    assert re.search(r'—: plain &lt;b&gt; lacks \d+ metrics', page)
    assert 'plain <b>' not in page
    assert 'Both are the same scenario.' in page
    assert page.count('<svg') == 1
    assert not re.findall(LOADS, page)


def test_no_two_comparisons_have_one_page(seeds: list[Run]) -> None:
    """Other seeds, another order, other names: four pages of four names, and short ones."""
    sides = [Side('a' * 200, seeds[:2]), Side('b', seeds[1:])]
    names = {page_name(sides), page_name(sides[::-1]), page_name([sides[0], Side('c', seeds)]),
             page_name([sides[0], Side('b', seeds)])}
    assert len(names) == 4
    assert max(map(len, names)) < 150


def test_names_are_text_wherever_they_stand(hostile: Path) -> None:
    """Markup in a name, in tables and in figures, reaches the page as text only."""
    page = page_of(hostile)
    assert not re.findall(r'<script|<i>|<b>\$', page)
    assert '&lt;script&gt;alert(1)&lt;/script&gt;' in page
    assert page.count('</style>') == len(re.findall(r'<style\b', page))


def test_description_is_text(tmp_path: Path) -> None:
    """Markup in the description, which a scenario does allow, is escaped in the header and in the scenario's text."""
    run = make_run(tmp_path / 'seed-1', 'description=<script>alert(1)</script>', 'duration=5 s', 'learning=null')
    page = page_of(run)
    assert '<script' not in page
    assert page.count('&lt;script&gt;alert(1)&lt;/script&gt;') == 2


def test_numbers_that_are_none_are_dashes(hostile: Path) -> None:
    """None and NaN show as a dash and infinity as its sign, never as words."""
    page = page_of(hostile)
    shown = {re.sub(r'<[^>]*>', '', cell).strip() for cell in re.findall(r'<td.*?</td>|<text.*?</text>', page)}
    assert not {text for text in shown if re.search(r'\b(nan|inf|none|null)\b', text, re.IGNORECASE)}
    assert {'—', '∞'} <= shown


def test_run_without_trace_and_learning_has_a_page(tmp_path: Path) -> None:
    """Without jobs, stages and rounds the page says how to get them, and keeps the figure that needs none."""
    page = page_of(make_run(tmp_path / 'seed-1', 'learning=null', trace='none'))
    assert '<code>--trace jobs</code>' in page
    assert '<code>--trace stages</code>' in page
    assert 'id="learning"' not in page
    assert page.count('<svg') == 1


def test_run_in_which_nothing_arrives_has_a_page(tmp_path: Path) -> None:
    """With the broker down throughout, the page has no latencies and marks what was not delivered."""
    run = make_run(tmp_path / 'seed-1', 'outages=[{target: broker, begin: 0 s, end: 1 h}]')
    page = page_of(run)
    launched = next(row for row in read_run(run).summary if row['metric'] == 'unfinished' and row['flow'] == 'vitals')
    assert launched['mean'] == launched['n'] > 0
    assert re.search(rf'<td class="bad"><data [^>]*>{launched["n"]:,}</data></td>', page)
    assert 'Latency of completed jobs.' not in page


def test_stages_of_a_flow_add_up_to_its_mean_latency(folder: Path) -> None:
    """Waiting and service over all stages equal the mean latency of the jobs table, to rounding."""
    run = read_run(folder)
    flows = flow_names(run.summary)
    times = stage_times(run.table('jobs'), run.table('stages'), flows)
    latencies = completed_latencies(run.table('jobs'), flows)
    assert times['flow'].unique(maintain_order=True).to_list() == list(latencies) == flows
    for flow, values in latencies.items():
        of_flow = times.filter(pl.col('flow') == flow)
        assert of_flow['n'].unique().to_list() == [values.size]
        assert of_flow.select(pl.min_horizontal('service_s', 'waiting_s').min()).item() >= -1e-12
        total_s = of_flow['service_s'].sum() + of_flow['waiting_s'].sum()
        assert total_s == pytest.approx(values.mean(), rel=1e-6)


def test_a_hop_of_a_transfer_counts_from_the_end_of_the_one_before() -> None:
    """Two overlapping hops of 3 s each, the second one second behind, take 4 s: 3 s and 1 s, all of it service."""
    jobs = pl.DataFrame({'job': [0], 'flow': ['f'], 'launched_s': [0.0], 'latency_s': [5.0], 'outcome': ['delivered'],
                         'is_counted': [True]})
    stages = pl.DataFrame({'job': [0, 0, 0], 'hop': [0, 1, 2], 'place': ['a', 'b', 'c'], 'stage': ['x', 'x', 'y'],
                           'finished_s': [3.0, 4.0, 5.0], 'service_s': [3.0, 3.0, 0.25]})
    times = stage_times(jobs, stages, ['f'])
    assert times['place'].to_list() == ['a', 'b', 'c']
    assert times.select('service_s', 'waiting_s').rows() == [(3.0, 0.0), (1.0, 0.0), (0.25, 0.75)]


@pytest.mark.parametrize('n', [1, 2, 1_999, 2_000, 100_000])
def test_thinned_curve_is_exact_where_it_has_points(n: int) -> None:
    """At most 2,000 points, from 0 to 1 and from the least to the greatest value, each on the full distribution."""
    values = np.random.default_rng(n).integers(0, 50 * n, n).astype(float)
    x, y = figures.ecdf(values)
    assert x.size == y.size <= 2_000
    assert (x[0], y[0], x[-1], y[-1]) == (values.min(), 0.0, values.max(), 1.0)
    assert np.array_equal(y[1:], [(values <= point).mean() for point in x[1:]])


@pytest.mark.parametrize(('value', 'unit', 'text'), [
    (None, 's', '—'), (math.nan, 'J', '—'), (math.inf, 'd', '∞ days'), (0.0, 's', '0 s'), (0.0, '1', '0 %'),
    (0.0123, 's', '12.3 ms'), (59.0, 's', '59 s'), (600.0, 's', '10 min'),
    (7_200.0, 's', '2 h'), (999.0, 'B', '999 B'), (47_096_640.0, 'B', '47.1 MB'), (0.0162, '1', '1.62 %'),
    (1e-9, '1', '<0.001 %'), (0.00107, 'W', '1.07 mW'), (35.17, 'd', '35.2 days'), (1234.0, '', '1,234'),
])
def test_values_are_spelled_with_three_digits_and_their_unit(value: float | None, unit: str, text: str) -> None:
    """Three digits, the prefix that suits the value, and a dash for no value."""
    assert spell(value, unit) == text


def browse(page: Path, width: int, profile: Path) -> tuple[dict[str, Any], list[str]]:
    """Open a page in headless Chromium; return what the probe in it saw and what was written on the console."""
    if CHROMIUM is None:
        pytest.skip('no Chromium found; on Debian: apt-get install chromium')
    shown = subprocess.run(
        [CHROMIUM, '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
         '--disable-background-networking', '--disable-component-update', '--disable-sync',
         f'--user-data-dir={profile}', '--enable-logging=stderr', f'--window-size={width},900', '--dump-dom',
         page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    seen = re.search(r'data-seen="([^"]*)"', shown.stdout)
    assert seen is not None, shown.stdout[:2_000]
    found: dict[str, Any] = json.loads(unescape(seen[1]))
    return found, re.findall(r'CONSOLE[^\]]*\] "([^"]*)"', shown.stderr)


@pytest.mark.parametrize('width', [1200, 500])
def test_browser_shows_the_pages_of_several_runs(width: int, seeds: list[Run], tmp_path: Path) -> None:
    """Replications and a comparison of unlike scenarios: a figure each, a silent console, no scrolling sideways."""
    plain = [read_run(make_run(tmp_path / 'seed-1', 'crypto.aead=none', trace='none'))]
    sides = [Side('ward', seeds), Side('plain', plain)]
    pages = (write_replications(seeds, tmp_path) / 'report.html',
             write_comparison(sides, [compare(seeds, plain)], tmp_path / 'compare'))
    for i, page in enumerate(pages):
        page.write_text(page.read_text('utf-8').replace('</body>', PROBE + '</body>'), 'utf-8')
        seen, console = browse(page, width, tmp_path / f'chromium-{i}')
        assert console == ['probe']
        assert seen['page'] <= seen['width']
        assert len(seen['svgs']) == 1
        assert all(wide > 400 and high > 100 for wide, high in seen['svgs'])


@pytest.mark.parametrize('width', [1200, 500])
@pytest.mark.parametrize('kind', ['folder', 'hostile'])
def test_browser_shows_the_page(kind: str, width: int, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Chromium lays out four figures, writes nothing on the console but our probe, and never scrolls sideways."""
    page = tmp_path / 'page.html'
    page.write_text(page_of(request.getfixturevalue(kind)).replace('</body>', PROBE + '</body>'))
    seen, console = browse(page, width, tmp_path / 'chromium')
    assert console == ['probe']
    assert seen['page'] <= seen['width']
    assert len(seen['svgs']) == 4
    assert all(wide > 400 and high > 100 for wide, high in seen['svgs'])
    assert seen['images'] == 0
