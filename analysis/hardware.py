"""What `iomtwin hil run` prints: how jobs ended and what workers measured, read from the run's folder.

Nothing here is simulated and measured in one column: latencies are of the whole job, and say so when a part of it was
simulated; the tables of hardware are measured alone.
"""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from analysis.formats import seconds, share
from analysis.sheets import Cell, Rows, Sheet, deadline_sheet, flow_sheet, rows_of
from analysis.tables import Fitting, security_line
from analysis.words import measured, rounds_said
from sim.results.folder import Run

PARTS = (('measured_round_trip', 'round trip'), ('measured_waiting', 'waiting at workers'),
         ('measured_service', 'worked on'), ('measured_broker_and_wire', 'broker and wire'))
PERCENTILES = ('p50', 'p95', 'p99')


def hardware_tables(run: Run) -> RenderableType:
    """Return everything that is shown of a run on hardware."""
    facts = run.manifest['hardware']
    rows = rows_of(run.summary)
    what = ('the testbed alone' if facts['model'] == 'none' else
            f'real time, {", ".join(facts["places"])} on hardware, all else simulated')
    padded = ', padded to the times of the profiles' if facts['is_padded'] else ''
    head = f'{facts["testbed"].capitalize()}{padded}: {what}; {facts["broker"]}, {facts["kem_provider"]}'
    sheets = (flow_sheet(rows), deadline_sheet(rows, only_missed=True), _chain_sheet(rows, padded), _stage_sheet(run))
    parts: list[RenderableType] = [Text(head), Text(f'Measured: {measured(run.scenario)}'), '']
    parts += [part for sheet in sheets if sheet.rows for part in (Fitting(sheet), '')]
    parts.append(security_line(run))
    if ('rounds_begun', None, None) in rows:
        parts.append(Text(f'Federated learning: {rounds_said(run.summary)}.'))
    parts.append(_pacing(run))
    parts += [Text(f'Not valid, and never averaged: {reason}.', style='bold red')
              for reason in run.manifest.get('invalid_because', [])]
    return Group(*parts)


def _chain_sheet(rows: Rows, padded: str) -> Sheet:
    flows = [flow for metric, flow, _ in rows if metric == PARTS[0][0] and flow is not None]
    lines = [(Cell(flow), Cell(name), *_percentiles(rows[metric, flow, None]))
             for flow in flows for metric, name in PARTS]
    return Sheet(f'On hardware{padded}', ('flow', 'of it', 'messages', *PERCENTILES), lines, n_left=2,
                 note='from the twin to the last worker and back; broker and wire: what is left of the round trip')


def _stage_sheet(run: Run) -> Sheet:
    lines = [(Cell(row['flow']), Cell(row['station']), *_percentiles(row))
             for row in run.summary if row['metric'] == 'measured_stage']
    return Sheet('Stages on hardware', ('flow', 'stage', 'times', *PERCENTILES), lines, n_left=2,
                 note="time on the worker's own clock")


def _percentiles(row: dict[str, float | None]) -> Sequence[Cell]:
    return [Cell(f'{row["n"]:,}', row['n']), *(Cell(seconds(row[name]), row[name], 's') for name in PERCENTILES)]


def _pacing(run: Run) -> Text:
    facts = run.manifest['hardware']
    pacing = facts['pacing']
    return Text(
        f'Pace: 99 % of the messages sent within {seconds(pacing["sent_late_p99_s"])} of their time, 99 % of the '
        f'replies heard within {seconds(pacing["heard_late_p99_s"])}, 99 % of the events within '
        f'{seconds(pacing["event_late_p99_s"])}; {pacing["n_unprepared"]:,} messages waited for their device, '
        f'{pacing["n_held"]:,} for room; {share(facts["steal"])} of the processor time stolen. '
        f'{facts["replies"].get("duplicate", 0):,} duplicates, {pacing["n_dead_letters"]:,} dead letters.')
