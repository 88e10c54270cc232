"""What the terminal shows: numbers with units that people read, in tables that lose nothing on 80 columns."""

import io
import math
import re
from html import unescape
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType
from scipy import stats

from analysis.compare import compare
from analysis.formats import count, days, digits, energy, n_bytes, seconds, share
from analysis.replications import summarise
from analysis.report import render
from analysis.sheets import comparison_sheet, deadline_sheet, difference, rows_of
from analysis.tables import Fitting, run_tables
from analysis.words import DEADLINE_MISSED, MESSAGE_BYTES, THIN, is_thin, measured
from sim.results.folder import Run
from tests.results.runs import QUIET, make

NUMBER = re.compile(r'-?(\d{1,3}(,\d{3})*(\.\d+)?|\.\d+)')
finite = st.floats(allow_nan=False, allow_infinity=False, width=32)


def shown(table: RenderableType, columns: int = 80) -> str:
    """Return what a terminal of so many columns shows."""
    console = Console(width=columns, file=io.StringIO(), color_system=None)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def compared(differences: pl.DataFrame, base: str, other: str) -> RenderableType:
    """Return a comparison as the terminal shows it."""
    return Fitting(comparison_sheet(differences, base, other))


# -- numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(('value', 'text'), [
    (0.0, '0 s'), (-0.0, '0 s'), (5e-10, '<0.001 µs'), (1e-6, '1 µs'), (999.4e-6, '999 µs'), (999.9e-6, '1 ms'),
    (0.0921, '92.1 ms'), (0.9999, '1 s'), (1.0, '1 s'), (119.0, '119 s'), (119.9, '2 min'), (120.0, '2 min'),
    (7200.0, '2 h'), (-0.0246, '-24.6 ms'), (-150.0, '-2.5 min'), (1e7, '2,780 h'),
    (None, '—'), (math.nan, '—'), (math.inf, '∞'),
])
def test_a_duration_has_the_unit_that_suits_it_after_rounding(value: float | None, text: str) -> None:
    """The edges of the units, nothing, no number and negative ones."""
    assert seconds(value) == text


@pytest.mark.parametrize(('value', 'text'), [
    (0.0, '0 B'), (1.0, '1 B'), (999.0, '999 B'), (999.9, '1 kB'), (1000.0, '1 kB'), (999_900.0, '1 MB'),
    (90.2e6, '90.2 MB'), (5e9, '5 GB'), (3e15, '3,000 TB'), (-41.5e3, '-41.5 kB'), (0.5, '0.5 B'),
    (None, '—'), (math.nan, '—'),
])
def test_a_size_has_the_unit_that_suits_it_after_rounding(value: float | None, text: str) -> None:
    """Decimal prefixes from bytes to terabytes."""
    assert n_bytes(value) == text


@pytest.mark.parametrize(('value', 'text'), [
    (0.0, '0 %'), (1.0, '100 %'), (0.0265, '2.65 %'), (0.123456, '12.3 %'), (3.99e-5, '0.00399 %'), (1e-9, '<0.001 %'),
    (-1e-9, '>-0.001 %'), (-0.25, '-25 %'), (12.5, '1,250 %'), (None, '—'), (math.nan, '—'),
])
def test_a_share_is_a_percentage_without_exponent(value: float | None, text: str) -> None:
    """From nothing over very little to more than all."""
    assert share(value) == text


@pytest.mark.parametrize(('value', 'text'), [
    (0.0, '0 J'), (1460.0, '1,460 J'), (0.0192, '19.2 mJ'), (6.4e-5, '64 µJ'), (0.9999, '1 J'), (9_999.0, '10 kJ'),
    (2.5e6, '2.5 MJ'), (None, '—'),
])
def test_energy_is_written_without_exponent(value: float | None, text: str) -> None:
    """From a message of a patch to a day of a scanner."""
    assert energy(value) == text


@pytest.mark.parametrize(('value', 'text'), [
    (0.0, '0'), (3.0, '3'), (43_313.0, '43,313'), (0.4, '0.4'), (2.3333, '2.33'), (None, '—'), (math.nan, '—'),
])
def test_a_mean_of_counts_keeps_its_fraction(value: float | None, text: str) -> None:
    """Two lost messages in five runs are 0.4, not none."""
    assert count(value) == text


def test_a_battery_that_lasts_for_ever_has_no_days() -> None:
    """No end of days is said, none known is a dash."""
    assert (days(35.24), days(math.inf), days(None)) == ('35.2 days', '∞ days', '—')


@given(finite)
def test_three_digits_are_kept_and_no_exponent_is_written(value: float) -> None:
    """What is written, read again, is the value within half of its third digit; or it says that it is less."""
    text = digits(value)
    if text.lstrip('<>-').startswith('0.001') and text[0] in '<>':
        assert 0 < abs(value) < 0.001
        return
    assert NUMBER.fullmatch(text)
    assert float(text.replace(',', '')) == pytest.approx(value, rel=0.005, abs=1e-12)


@given(st.floats(1e-6, 1e15), st.sampled_from([seconds, n_bytes, energy]))
def test_a_scaled_number_has_at_most_three_digits_before_its_next_unit(value: float, write: object) -> None:
    """No '1000 µs', no '1e+03 ms': below the last unit a number is less than 10,000."""
    text = write(value)  # type: ignore[operator]  # one of three functions
    number, _, unit = text.partition(' ')
    assert 'e' not in number
    assert unit in ('h', 'TB', 'MJ') or number.startswith('<') or float(number.replace(',', '')) < 10_000


# -- tables -------------------------------------------------------------------------------------------------------


def test_a_run_s_tables_end_with_what_cryptography_claims(ward: Run) -> None:
    """The ward's suite, primitives and category; its updates are not signed, and no key pair is fresh."""
    text = ' '.join(shown(run_tables([ward])).split())
    assert ('Suite: pqc-768 (ML-KEM-768, Ascon-AEAD128, ML-DSA-65); Keys: NIST category 3; Signatures: ML-DSA-65 is '
            'not used; Forward secrecy: no, keys are') in text


@pytest.mark.parametrize('run_name', ['ward', 'quiet'])
def test_a_run_is_shown_on_80_columns_without_losing_anything(run_name: str, request: pytest.FixtureRequest) -> None:
    """Every line fits, nothing is cut; each number stands on one line with its unit."""
    text = shown(run_tables([request.getfixturevalue(run_name)]))
    assert max(map(len, text.splitlines())) <= 80
    assert '…' not in text
    for title in ('Measured: ', 'Flows', 'Cryptography in flows', 'Devices', 'Busiest stations',
                  'Federated learning: '):
        assert sum(line.startswith(title) for line in text.splitlines()) == 1
    assert shown(run_tables([request.getfixturevalue(run_name)]), 200).splitlines()[:9] == text.splitlines()[:9]


def test_the_tables_of_a_run_show_the_numbers_of_its_summary(ward: Run) -> None:
    """Cells of the line of vitals, of the patches and of learning against summary.json."""
    rows = {(metric, flow or class_): row for (metric, flow, class_), row in rows_of(ward.summary).items()
            if not (flow and class_)}
    lines = shown(run_tables([ward]), 200).splitlines()
    latency = rows['latency', 'vitals']
    thin = THIN if is_thin('p99', latency['n']) else ''
    assert not is_thin('p95', latency['n'])
    vitals, of_crypto, computed = (line.split('  ') for line in lines if line.startswith('vitals'))
    assert [cell.strip() for cell in vitals if cell] == [
        'vitals', count(rows['launched', 'vitals']['mean']), seconds(latency['p50']), seconds(latency['p95']),
        seconds(latency['p99']) + thin, share(rows['deadline_miss_ratio', 'vitals']['mean']), '0']
    assert [cell.strip() for cell in of_crypto if cell] == [
        'vitals', seconds(latency['mean']), share(rows['crypto_latency_share', 'vitals']['mean']),
        n_bytes(rows['wire_bytes', 'vitals']['mean']), share(rows['crypto_wire_share', 'vitals']['mean'])]
    assert [cell.strip() for cell in computed if cell][:4] == [
        'vitals', '—', seconds(rows['aead_time', 'vitals']['mean']), '—']
    patch = next(line for line in lines if line.startswith('ecg-patch')).split('  ')
    assert [cell.strip() for cell in patch if cell] == [
        'ecg-patch', '30', energy(rows['energy', 'ecg-patch']['mean']),
        share(rows['crypto_energy_share', 'ecg-patch']['mean']), days(rows['battery_days', 'ecg-patch']['mean']),
        days(rows['battery_days_without_crypto', 'ecg-patch']['mean'])]
    assert (f'3 of 3 planned rounds were begun, 3 completed; a round took '
            f'{seconds(rows["round_time", None]["mean"])}') in lines[-1]
    busiest = ward.table('stations').filter(pl.col('kind') != 'queue').sort('utilisation', descending=True)
    assert any(line.startswith(busiest['station'][0]) and share(busiest['utilisation'][0]) in line for line in lines)


def test_several_runs_are_averaged_and_devices_are_not_runs(tmp_path: Path) -> None:
    """Two seeds of three devices: the tables count three devices, and four rounds of both runs."""
    text = shown(run_tables([make(tmp_path, QUIET, (), seed=seed) for seed in (1, 2)]))
    assert re.search(r'^monitor +2 ', text, re.MULTILINE)
    assert re.search(r'^pump +1 ', text, re.MULTILINE)
    assert '4 of 4 planned rounds were begun, 4 completed' in text
    assert 'means of 2 runs' in text


def test_every_important_figure_of_several_runs_has_its_interval(tmp_path: Path) -> None:
    """Four seeds of a ward: half the width of SciPy's interval stands beneath each number, in the number's unit.

    Of a flow: median, p95, p99, deadlines missed, and what cryptography takes of its latency and bytes. Of a class:
    energy, crypto share and battery. Of learning: round and distribution time. Of a part: how busy it is.
    """
    runs = [make(tmp_path, overrides=(*SHORTER[:2], 'learning.start=2 s', 'learning.rounds=1'), seed=seed, trace='none')
            for seed in (1, 2, 3, 4)]
    text = shown(run_tables(runs))
    assert max(map(len, text.splitlines())) <= 80
    assert '…' not in text

    def half(metric: str, of: str | None, statistic: str = 'mean') -> str:
        rows = [row for run in runs for row in run.summary
                if row['metric'] == metric and of in (row['flow'] or row['class'] or row['station'], None)]
        values = [row[statistic] for row in rows]
        width, unit = stats.t.ppf(0.975, 3) * stats.sem(values), rows[0]['unit']
        return f'± {difference(width, unit)}'

    lines = text.splitlines()
    beneath = [re.findall(r'± .*?(?=  |$)', line) for line in (
        next(lines[i + 1] for i in range(lines.index(title), len(lines)) if lines[i].startswith(name))
        for title, name in ((_title(lines, 'Flows'), 'vitals'), (_title(lines, 'Cryptography'), 'vitals'),
                            (_title(lines, 'Devices'), 'ecg-patch'), (_title(lines, 'Busiest'), 'broker')))]
    miss = rows_of(summarise(runs))['deadline_miss_ratio', 'vitals', None]
    assert beneath[0][1:4] == [half('latency', 'vitals', p) for p in ('p50', 'p95', 'p99')]
    assert beneath[0][4] == f'± {digits(50 * (miss["ci95_high"] - miss["ci95_low"]))} pp'
    assert beneath[1] == [half(metric, 'vitals') for metric in
                          ('latency', 'crypto_latency_share', 'wire_bytes', 'crypto_wire_share')]
    assert beneath[2] == [half(metric, 'ecg-patch') for metric in
                          ('energy', 'crypto_energy_share', 'battery_days', 'battery_days_without_crypto')]
    assert beneath[3] == [half('utilisation', 'broker')]
    learning = ' '.join(text.split('Federated learning')[1].split())
    for metric in ('round_time', 'distribution_time'):
        assert f'{half(metric, None)} on average' in learning


def _title(lines: list[str], begins: str) -> str:
    return next(line for line in lines if line.startswith(begins))


def test_rounds_that_were_planned_and_not_begun_are_told(tmp_path: Path) -> None:
    """Five rounds of a pause that leaves time for two, the first within the warm-up: terminal, summary and page."""
    run = make(tmp_path, QUIET, ['learning.rounds=5', 'learning.pause=9 s', 'warm_up=4 s'])
    said = '2 of 5 planned rounds were begun, 1 of them after the warm-up, 1 completed'
    assert f'Federated learning: {said};' in shown(run_tables([run]), 200)
    assert f'<p>{said}.</p>' in render(run)
    begun, = (row for row in run.summary if row['metric'] == 'rounds_begun')
    assert (begun['n'], begun['mean']) == (5, 2.0)


def test_rounds_that_failed_are_told(tmp_path: Path) -> None:
    """The broker is down while two rounds want to publish: both fail, and say how, on the terminal and the page."""
    run = make(tmp_path, QUIET, ['learning.deadline=2 s', 'learning.pause=1 s',
                                 'outages=[{target: broker, begin: 2 s, end: 19 s}]'])
    assert run.table('rounds')['ended'].to_list() == ['not published'] * 2
    said = '2 of 2 planned rounds were begun, 0 completed, 2 failed; the model reached 0 % of its clients.'
    assert said in shown(run_tables([run]), 200)
    assert render(run).count('<td class="text">not published</td>') == 2


def test_late_alarms_are_told_by_whose_they_are(tmp_path: Path) -> None:
    """Vitals of 300 kB with a deadline of 120 ms, of monitors, which miss it, and of pumps, whose alarms do not.

    The sheet of the terminal has the line of the monitors only, with the share that jobs.parquet has; a run without a
    miss has no such sheet.
    """
    run = make(tmp_path, QUIET, ())
    vitals = run.table('jobs').filter(pl.col('is_counted') & (pl.col('flow') == 'vitals'))
    late = vitals.filter(pl.col('outcome') != 'delivered')
    assert set(late['class']) == {'monitor'}
    line = re.search(r'^vitals +monitor +(\d+) +(\S+ %)$', shown(run_tables([run])), re.MULTILINE)
    assert line is not None
    assert line.groups() == (str(vitals.height), share(late.height / vitals.height))
    assert [row[1].text for row in deadline_sheet(rows_of(run.summary)).rows].count('pump') == 1
    assert 'Deadlines of each class' not in shown(run_tables([make(tmp_path, QUIET, ['learning=null', EASY])]))


EASY = 'devices.monitor.streams.vitals.deadline=1 h'


@pytest.mark.parametrize(('warm_up', 'duration', 'starts_at', 'text'), [
    ('60.0 s', '600.0 s', '08:00', '9 min from 08:01 to 08:10, after a warm-up of 60 s'),
    ('0.0 s', '90000.0 s', '23:30', '25 h from 23:30 to 00:30 of day 3'),
    ('0.5 s', '2.5 s', '00:00', '2 s from 00:00:00.5 to 00:00:02.5, after a warm-up of 500 ms'),
])
def test_the_measured_time_is_told_by_the_clock(warm_up: str, duration: str, starts_at: str, text: str) -> None:
    """Whole minutes, a night over the end of the next day, and parts of a second."""
    assert measured({'warm_up': warm_up, 'duration': duration, 'starts_at': starts_at}) == text


def test_the_measured_time_stands_on_the_terminal_and_the_page(ward: Run) -> None:
    """Two seconds of warm-up and twenty in all, from eight o'clock: the first line, and what was asked."""
    text = '18 s from 08:00:02 to 08:00:20, after a warm-up of 2 s'
    assert shown(run_tables([ward])).startswith(f'Measured: {text}\n')
    assert text in render(ward)


@pytest.mark.parametrize(('statistic', 'n', 'expected'), [
    ('p99', 1_999, True), ('p99', 2_000, False), ('p95', 399, True), ('p95', 400, False), ('p50', 1, False),
    ('p99', 0, False)])
def test_a_percentile_is_thin_below_twenty_jobs_beyond_it(statistic: str, n: int, expected: bool) -> None:
    """A p99 takes 2,000 jobs and a p95 400; of none there is nothing to mark."""
    assert is_thin(statistic, n) is expected


def test_percentiles_of_few_jobs_are_marked_and_the_mark_is_explained(ward: Run) -> None:
    """Alarms, of which there are few: a dagger on the terminal, on the page and in a comparison, each with its note."""
    alarm = rows_of(ward.summary)['latency', 'alarm', None]
    assert 0 < alarm['n'] < 400
    text, page = shown(run_tables([ward]), 2_000), ' '.join(unescape(render(ward)).split())
    cell = f'{seconds(alarm["p99"])}{THIN}'
    moved = compare([ward], [ward]).with_columns(difference=pl.lit(1.0))
    for medium in (text, page, shown(compared(moved, 'a', 'b'), 2_000)):
        assert 'a p95 takes 400 jobs, a p99 2,000' in ' '.join(medium.split())
    assert cell in text
    assert cell in page
    assert not re.search(r'^vitals.*' + THIN + r'.*' + THIN, text, re.MULTILINE)


def test_a_metric_that_one_side_lacks_is_shown_with_a_dash(tmp_path: Path) -> None:
    """A quiet ward with learning and without: lines with a dash where there is none, and how many who lacks."""
    with_, without = make(tmp_path, QUIET, ()), make(tmp_path, QUIET, ['learning=null'])
    text = shown(compared(compare([with_], [without]), 'with', 'without'))
    assert re.search(r'^round time +[\d.]+ m?s +— +—', text, re.MULTILINE)
    n = compare([with_], [without]).filter(pl.col('other').is_null()).height
    assert n > 5
    assert f'—: without lacks {n} metrics' in ' '.join(text.split())
    assert max(map(len, text.splitlines())) <= 80


def test_messages_that_failed_are_told_by_how(quiet: Run, tmp_path: Path) -> None:
    """A ward whose drain is too short: what is left is 'unfinished', with its number; and the deadline missed."""
    run = make(tmp_path, QUIET, ['duration=5010 ms', 'drain=1 ms', 'learning=null'])
    text = shown(run_tables([run]))
    assert re.search(r'^vitals .* 1 unfinished$', text, re.MULTILINE)
    assert not re.search(r'^vitals .*unfinished$', shown(run_tables([quiet])), re.MULTILINE)


def test_long_names_are_folded_not_cut(tmp_path: Path) -> None:
    """A scenario with a device class of forty characters, on 60 columns: every character of the name is there."""
    name = 'monitor-with-a-name-of-forty-characters-'.rstrip('-') + 'x'
    text = QUIET.read_text('utf-8').replace('  monitor:', f'  {name}:').replace('[monitor]', f'[{name}]')
    (tmp_path / 'long.yaml').write_text(text, 'utf-8')
    wide = shown(run_tables([make(tmp_path, tmp_path / 'long.yaml', ())]), 60)
    assert '…' not in wide
    column = ''.join(line.split()[0] for line in wide.partition('Devices')[2].splitlines() if line.strip())
    assert name in column.replace('mains', '')


def test_a_comparison_is_shown_on_80_columns_without_losing_anything(tmp_path: Path) -> None:
    """The ward with and without sealing, two seeds: every line fits, differences have signs, settled ones a star."""
    sides = [[make(tmp_path, overrides=(*SHORTER, f'crypto.aead={aead}'), seed=seed, trace='none') for seed in (1, 2)]
             for aead in ('Ascon-AEAD128', 'none')]
    differences = compare(*sides)
    text = shown(compared(differences, 'ward', 'ward-plain'))
    assert max(map(len, text.splitlines())) <= 80
    assert '…' not in text
    row = differences.row(by_predicate=(pl.col('metric') == 'energy') & (pl.col('of') == 'ecg-patch'), named=True)
    line = next(line for line in text.splitlines() if line.startswith('energy ') and 'ecg-patch' in line)
    half = energy((row['ci95_high'] - row['ci95_low']) / 2)
    assert line.split()[2:] == [*energy(row['base']).split(), *energy(row['other']).split(),
                                *energy(row['difference']).split(), *half.split(), '*']
    assert row['difference'] < 0 < row['base']
    assert row['is_settled']


SHORTER = ('duration=8 s', 'warm_up=1 s', 'learning=null')


def test_words_and_their_meaning_are_the_same_everywhere(ward: Run) -> None:
    """A missed deadline and the bytes of messages: on the terminal, on the page and in a comparison."""
    page = ' '.join(unescape(render(ward)).split())
    terminal = ' '.join(shown(run_tables([ward]), 2_000).split())
    for text in (DEADLINE_MISSED, MESSAGE_BYTES):
        assert text in page
        assert text in terminal
    rows = pl.DataFrame({'metric': ['deadline_miss_ratio', 'wire_bytes'], 'statistic': ['mean'] * 2, 'of': ['x'] * 2,
                         'unit': ['1', 'B'], 'n_pairs': [2, 2], 'is_paired': [True] * 2, 'n': [5, 5],
                         'base': [0.5, 1.0], 'other': [0.25, 2.0],
                         'difference': [-0.25, 1.0], 'ci95_low': [-0.3, 0.5], 'ci95_high': [-0.2, 1.5],
                         'is_settled': [True, True]})
    told = shown(compared(rows, 'a', 'b'))
    for name in ('deadline missed', 'message bytes'):
        assert re.search(rf'^{name} ', told, re.MULTILINE)
        assert f'<th>{name}</th>' in page


def test_one_pair_has_no_interval_and_the_caption_says_how_to_get_one(quiet: Run, tmp_path: Path) -> None:
    """A comparison of one seed; and of a run with itself, where nothing differs."""
    other = make(tmp_path, QUIET, ['crypto.aead=none'])
    text = shown(compared(compare([quiet], [other]), 'a', 'b'))
    assert 'one pair of runs: no interval; use --replications' in ' '.join(text.split())
    assert '*' not in text
    same = compare([quiet], [quiet])
    assert f'{same.height} metrics are the same on both sides' in ' '.join(
        shown(compared(same, 'a', 'b')).split())
    assert 'the two have no metric in common' in shown(compared(same.clear(), 'a', 'b'))
