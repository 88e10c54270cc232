"""A run on hardware as tables: how jobs ended and what workers measured, for the terminal and for its page.

Nothing here is simulated and measured in one column: latencies are of the whole job, and say so when a part of it was
simulated; the tables of hardware are measured alone.
"""

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Group, RenderableType
from rich.text import Text

from analysis.formats import seconds, share
from analysis.sheets import Cell, Sheet, deadline_sheet, flow_sheet, rows_of
from analysis.tables import Fitting, security_line
from analysis.words import THIN, THIN_NOTE, is_thin, measured, rounds_said
from sim.results.folder import Run

PARTS = (('measured_round_trip', 'round trip'), ('measured_waiting', 'waiting at workers'),
         ('measured_service', 'worked on'), ('measured_broker_and_wire', 'broker and wire'))
PERCENTILES = ('p50', 'p95', 'p99')


def hardware_tables(run: Run) -> RenderableType:
    """Return everything that is shown of a run on hardware."""
    rows = rows_of(run.summary)
    sheets = (whole_sheet(run), deadline_sheet(rows, only_missed=True), chain_sheet(run), stage_sheet(run))
    parts: list[RenderableType] = [Text(head(run)), Text(f'Measured: {measured(run.scenario)}'), '']
    parts += [part for sheet in sheets if sheet.rows for part in (Fitting(sheet), '')]
    parts.append(security_line(run))
    if ('rounds_begun', None, None) in rows:
        parts.append(Text(f'Federated learning: {rounds_said(run.summary)}.'))
    parts.append(Text(pace(run)))
    parts += [Text(f'Not valid, and never averaged: {reason}.', style='bold red') for reason in run.reasons()]
    return Group(*parts)


def head(run: Run) -> str:
    """Return what was made of what, in a sentence."""
    facts = run.manifest['hardware']
    what = ('the testbed alone' if facts['model'] == 'none' else
            f'real time, {", ".join(facts["places"])} on hardware, all else simulated')
    return f'{facts["testbed"].capitalize()}{_padded(run)}: {what}; {facts["broker"]}, {facts["kem_provider"]}'


def _padded(run: Run) -> str:
    return ', padded to the times of the profiles' if run.manifest['hardware']['is_padded'] else ''


def whole_sheet(run: Run) -> Sheet:
    """Return one line a flow, of whole jobs: in part simulated, unless the testbed was alone."""
    is_alone = run.manifest['hardware']['model'] == 'none'
    made = 'measured, the testbed alone' if is_alone else 'in part simulated, in part measured'
    return replace(flow_sheet(rows_of(run.summary)), title=f'Whole jobs, {made}{_padded(run)}')


def chain_sheet(run: Run) -> Sheet:
    """Return what was measured of the messages of each flow: round trips, and what they are made of."""
    rows = rows_of(run.summary)
    flows = [flow for metric, flow, _ in rows if metric == PARTS[0][0] and flow is not None]
    lines = [(Cell(flow), Cell(name), *_percentiles(rows[metric, flow, None]))
             for flow in flows for metric, name in PARTS]
    return Sheet(f'Measured on hardware{_padded(run)}', ('flow', 'of it', 'messages', *PERCENTILES), lines, n_left=2,
                 note='from the twin to the last worker and back; broker and wire: what is left of the round trip; '
                      f'{THIN_NOTE}')


def stage_sheet(run: Run) -> Sheet:
    """Return what workers measured of each stage."""
    lines = [(Cell(row['flow']), Cell(row['station']), *_percentiles(row))
             for row in run.summary if row['metric'] == 'measured_stage']
    return Sheet(f'Stages on hardware, measured{_padded(run)}', ('flow', 'stage', 'times', *PERCENTILES), lines,
                 n_left=2, note="time on the worker's own clock")


def _percentiles(row: dict[str, float | None]) -> Sequence[Cell]:
    n = row['n'] or 0
    return [Cell(f'{n:,}', n), *(Cell(seconds(row[name]) + (THIN if is_thin(name, n) else ''), row[name], 's')
                                 for name in PERCENTILES)]


def pace(run: Run) -> str:
    """Return how the twin kept pace with its clock, and what else moves what it measured."""
    facts = run.manifest['hardware']
    pacing = facts['pacing']
    return (
        f'Pace: 99 % of the messages sent within {seconds(pacing["sent_late_p99_s"])} of their time, 99 % of the '
        f'replies heard within {seconds(pacing["heard_late_p99_s"])}, 99 % of the events within '
        f'{seconds(pacing["event_late_p99_s"])}; {pacing["n_unprepared"]:,} messages waited for their device, '
        f'{pacing["n_held"]:,} for room; {share(facts["steal"])} of the processor time stolen, '
        f'{share(facts.get("others", 0.0))} of it taken by other processes. '
        f'{facts["replies"].get("duplicate", 0):,} duplicates, {pacing["n_dead_letters"]:,} dead letters.')


def pace_sheet(run: Run) -> Sheet:
    """Return how late the twin was."""
    pacing = run.manifest['hardware']['pacing']
    lines = [(Cell(what), *(Cell(seconds(pacing.get(f'{name}_{part}_s')), pacing.get(f'{name}_{part}_s'), 's')
                            for part in ('p50', 'p99')))
             for name, what in (('sent_late', 'messages were sent'), ('heard_late', 'replies came into the model'),
                                ('event_late', 'events acted'))]
    return Sheet('How late the twin was', ('', 'median', 'p99'), lines,
                 note="an event that acts late moves nothing by itself, for its time is the model's")


def node_sheet(run: Run) -> Sheet:
    """Return who worked, as the workers said before the run."""
    lines = [(Cell(each['node']), *(Cell(each[name]) for name in ('place', 'version', 'provider', 'machine', 'kernel')),
              Cell(f'{each["cores"]:,}', each['cores']), Cell(f'{each["memory_mib"]:,} MiB', each['memory_mib'], 'MiB'))
             for each in run.manifest['hardware']['workers']]
    return Sheet('Workers', ('worker', 'place', 'iomtwin', 'ML-KEM by', 'machine', 'kernel', 'cores', 'memory\nfree'),
                 lines, n_left=6)
