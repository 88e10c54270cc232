"""One run as one HTML page that needs nothing beside itself: tables, figures, methods, and how to do it again.

The page shows a single run. It leaves out comparisons and intervals over replications, single jobs and devices. Every
number stands in the page with all its digits (hover over it); what is shown is rounded to three.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis import figures
from analysis.asked import asked
from analysis.formats import spell
from analysis.hardware_report import render_hardware
from analysis.page import drawn, learning_parts, render_page
from analysis.sheets import (
    Rows,
    cause_sheet,
    crypto_sheet,
    deadline_sheet,
    device_sheet,
    flow_sheet,
    key_sheet,
    mean,
    outcome_sheet,
    queue_sheet,
    rows_of,
    station_sheet,
)
from analysis.words import (
    STATISTICS,
    Row,
    Tree,
    is_thin,
    measured,
    measured_s,
    seconds,
)
from sim.errors import InputError, IomtwinError
from sim.results.folder import Run, complete_file, read_run

STATIONS_SHOWN = 10
QUEUES_SHOWN = 20


def write_report(folder: Path) -> Path:
    """Write ``report.html`` into a run folder.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If the folder is not a whole run folder.
    RunError
        If the page cannot be written.
    """
    run = read_run(folder)
    try:
        text = render_hardware(run) if run.is_measured else render(run)
    except (IomtwinError, MemoryError):
        raise
    except Exception as error:  # what one file says and another does not can show anywhere in the page
        raise InputError(f"'{folder}' has no page ({type(error).__name__}: {error}): its files do not fit together; "
                         'make the run again') from error
    with complete_file(run.folder / 'report.html') as page:
        page.write_text(text, 'utf-8')
    return run.folder / 'report.html'


def render(run: Run) -> str:
    """Return the page of a run."""
    scenario = run.scenario
    rows, classes, rounds = rows_of(run.summary), class_table(run.summary, scenario), run.table('rounds')
    return render_page(
        'report.html',
        manifest=run.manifest, warnings=run.manifest.get('warnings', ()), scenario=scenario, summary=run.summary,
        scenario_text=run.scenario_text, invalid_because='; '.join(run.reasons()),
        asked=asked(scenario, run.manifest.get('security')),
        tiles=tiles(rows, classes), flows=flow_sheet(rows), outcomes=outcome_sheet(rows),
        deadlines=deadline_sheet(rows), crypto=crypto_sheet(rows), causes=cause_sheet(rows), keys=key_sheet(rows),
        devices=device_sheet(rows),
        stations=station_sheet([run], STATIONS_SHOWN), queues=queue_sheet([run], QUEUES_SHOWN),
        **learning_parts(run), figures=drawn(_figures(run, classes, rounds)), measured=measured(scenario),
        measured_s=measured_s(scenario), warm_up_s=seconds(scenario['warm_up']),
    )


def flow_names(summary: list[Row]) -> list[str]:
    """Return the flows of a run in the order of its summary."""
    return list(dict.fromkeys(line['flow'] for line in summary if line['flow'] is not None))


def class_table(summary: list[Row], scenario: Tree) -> pl.DataFrame:
    """Return one row a class of devices: number, energy, power, share of cryptography and battery."""
    metrics = {(line['metric'], line['class']): line['mean'] for line in summary if line['class'] is not None}
    rows = [{
        'class': line['class'], 'n': line['n'], 'energy_j': line['mean'],
        'power_w': None if line['mean'] is None else line['mean'] / measured_s(scenario),
        'crypto_share': metrics.get(('crypto_energy_share', line['class'])),
        'battery_days': metrics.get(('battery_days', line['class'])),
        'battery_days_without_crypto': metrics.get(('battery_days_without_crypto', line['class'])),
    } for line in summary if line['metric'] == 'energy']
    floats = ('energy_j', 'power_w', 'crypto_share', 'battery_days', 'battery_days_without_crypto')
    return pl.DataFrame(rows, schema={'class': pl.String, 'n': pl.Int64, **dict.fromkeys(floats, pl.Float64)})


def tiles(rows: Rows, classes: pl.DataFrame) -> list[tuple[str, str, str]]:
    """Return the few numbers that answer the question first: what it is, the number, what to know with it."""
    shown = []
    timed = [row for (metric, _, class_), row in rows.items() if metric == 'deadline_miss_ratio' and class_ is None]
    if timed:
        n = sum(row['n'] for row in timed)
        missed = round(sum(row['n'] * row['mean'] for row in timed))
        shown.append(('deadlines missed', f'{missed:,}', f'of {n:,} jobs that have one'))
    alarm = rows.get(('latency', 'alarm', None))
    if alarm is not None and alarm['n']:
        most = next((name for name in ('p99', 'p95') if not is_thin(name, alarm['n'])), 'p50')
        share = spell(mean(rows, 'crypto_latency_share', 'alarm'), '1')
        shown.append((f'alarm latency, {STATISTICS[most]}', spell(alarm[most], 's'),
                      f'of {alarm["n"]:,} alarms; cryptography is {share} of the mean'))
    priced = classes.filter(pl.col('crypto_share').is_finite() & (pl.col('crypto_share') > 0))
    if priced.height:
        dearest = priced.row(priced['crypto_share'].arg_max() or 0, named=True)
        shown.append(('energy for cryptography', spell(dearest['crypto_share'], '1'),
                      f'of a device of class {dearest["class"]}, the class that pays most'))
    whole = rows.get(('round_time', None, None))
    if whole:
        rounds = 'one round' if whole['n'] == 1 else f'{whole["n"]:,} rounds'
        shown.append(('a new global model', spell(whole['mean'], 's'), f'mean of {rounds}'))
    return shown


def completed_latencies(jobs: pl.DataFrame, flows: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Return the latencies of the counted jobs that were completed, in s, by flow; flows without any are absent."""
    if jobs.is_empty():
        return {}
    done = _completed(jobs)
    found = {flow: done.filter(pl.col('flow') == flow)['latency_s'].to_numpy() for flow in flows}
    return {flow: values for flow, values in found.items() if values.size}


def _completed(jobs: pl.DataFrame) -> pl.DataFrame:
    return jobs.filter(pl.col('is_counted') & pl.col('outcome').is_in(['delivered', 'expired'])
                       & pl.col('latency_s').is_finite())


def stage_times(jobs: pl.DataFrame, stages: pl.DataFrame, flows: Sequence[str]) -> pl.DataFrame:
    """Return where the mean latency of each flow goes, one row a flow, place and stage.

    Hops of a transfer overlap, so each hop is given the time from the end of the hop that ended before it to its own
    end: these add up to the latency. Of that, service is what the hop was served for at most, and waiting the rest:
    queues, connection events and propagation.

    Returns
    -------
    DataFrame
        ``flow``, ``place``, ``stage``, ``service_s`` and ``waiting_s`` as means over completed jobs, ``n`` jobs; flows
        in the order given, stages in that of the way.
    """
    if jobs.is_empty() or stages.is_empty():
        return pl.DataFrame()
    done = _completed(jobs).select('job', 'flow', 'launched_s')
    hops = stages.join(done, on='job').filter(pl.col('finished_s').is_finite()).sort('job', 'finished_s', 'hop')
    before_s = pl.col('finished_s').shift(1).over('job').fill_null(pl.col('launched_s'))
    hops = hops.with_columns(elapsed_s=(pl.col('finished_s') - before_s).clip(lower_bound=0.0),
                             position=pl.int_range(pl.len()).over('job'))
    served_s = pl.when(pl.col('stage') == 'net.wait').then(0.0).otherwise(pl.col('service_s'))
    hops = hops.with_columns(service_s=pl.min_horizontal(served_s, 'elapsed_s'))
    sums = hops.group_by('flow', 'place', 'stage').agg(
        pl.col('service_s').sum(), pl.col('elapsed_s').sum(), pl.col('position').min())
    order = pl.DataFrame({'flow': flows, 'row': range(len(flows))}, schema={'flow': pl.String, 'row': pl.Int64})
    counts = done.group_by('flow').agg(pl.len().alias('n')).join(order, on='flow')
    return (sums.join(counts, on='flow').sort('row', 'position', 'place', 'stage')
            .select('flow', 'place', 'stage', pl.col('service_s') / pl.col('n'),
                    waiting_s=(pl.col('elapsed_s') - pl.col('service_s')) / pl.col('n'), n='n'))


def _figures(run: Run, classes: pl.DataFrame, rounds: pl.DataFrame) -> dict[str, tuple[Figure, str]]:
    """Return the figures that this run has data for, by name."""
    jobs, found = run.table('jobs'), dict[str, tuple[Figure, str]]()
    flows = flow_names(run.summary)
    latencies = completed_latencies(jobs, flows)
    if latencies:
        found['latency'] = figures.latency_figure(latencies), 'Empirical distribution of latency for each flow'
    times = stage_times(jobs, run.table('stages'), flows)
    if not times.is_empty():
        found['stages'] = figures.stage_figure(times), 'Mean seconds of each stage for each flow, waiting and service'
    if classes.filter(pl.col('power_w').is_finite() & (pl.col('power_w') > 0)).height:
        found['power'] = figures.power_figure(classes), 'Mean power of each class of devices, and of cryptography'
    if rounds.height:
        found['rounds'] = figures.rounds_figure(rounds), 'Duration of each round of learning, and its clients'
    return found
