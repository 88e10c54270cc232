"""What a run on hardware shows while it goes on: a table that is drawn anew when it is told something.

Percentiles are of the newest messages and stages of each kind, those of the warm-up too; what counts is in the run
folder at the end. It has no thread and no clock of its own: whoever tells it decides when it is drawn.
"""

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from analysis.formats import seconds
from analysis.sheets import Cell, Sheet
from analysis.tables import Fitting

NEWEST_MAX = 1_000  # of each kind, of which percentiles are
NODES_SHOWN = 6
PARTS = {'round_trip_s': 'round trip', 'waiting_s': 'waiting', 'service_s': 'worked on',
         'broker_and_wire_s': 'broker and wire'}
LATE = {'sent_late_s': 'sent', 'heard_late_s': 'heard'}
Kind = tuple[str, str]  # flow, and what of it


class LiveTable:
    """What is known of a run so far, as something that a console can draw."""

    def __init__(self, name: str, duration_s: float) -> None:
        self._name, self._duration_s = name, duration_s
        self._waiting, self._nodes = '', list[str]()
        self._now_s, self._counts, self._queues = 0.0, dict[str, int](), dict[str, int]()
        self._newest: dict[Kind, deque[float]] = defaultdict(lambda: deque(maxlen=NEWEST_MAX))
        self._stages: dict[Kind, deque[float]] = defaultdict(lambda: deque(maxlen=NEWEST_MAX))
        self._late: dict[str, deque[float]] = {column: deque(maxlen=NEWEST_MAX) for column in LATE}
        self._n: dict[Kind, int] = defaultdict(int)  # of all, not only the newest

    def wait_for(self, what: str) -> None:
        """Show what is waited for, until the run goes on."""
        self._waiting = what

    def meet(self, workers: Iterable[Mapping[str, Any]]) -> None:
        """Show the workers as they described themselves."""
        self._nodes = [f'{worker["node"]}: {worker["place"]}, iomtwin {worker["version"]}, {worker["machine"]}, '
                       f'{worker["cores"]} cores, {worker["memory_mib"]:,} MiB free' for worker in workers]

    def see(self, now_s: float, counts: Mapping[str, int], queues: Mapping[str, int],
            chains: Iterable[Mapping[str, Any]], work: Iterable[Mapping[str, Any]]) -> None:
        """Take in how the run stands.

        Parameters
        ----------
        now_s
            Since the beginning.
        counts
            Of jobs and messages, by what they are called.
        queues
            Messages that are ready in each.
        chains, work
            New rows of the tables of a run folder with these names.
        """
        self._waiting, self._now_s, self._counts, self._queues = '', now_s, dict(counts), dict(queues)
        for row in chains:
            for column in PARTS:
                self._take(self._newest, (row['flow'], column), row[column])
            for column, newest in self._late.items():
                newest.append(row[column])
        for row in work:
            self._take(self._stages, (row['flow'], f'{row["place"]} {row["stage"]}'), row['wall_s'])

    def _take(self, newest: dict[Kind, deque[float]], kind: Kind, value: float) -> None:
        newest[kind].append(value)
        self._n[kind] += 1

    def __rich__(self) -> RenderableType:
        """Return what is drawn: what matters most first, for a low terminal shows the first lines only."""
        if self._waiting:
            return Text(f'{self._name}: waiting for {self._waiting}')
        done = f'{min(self._now_s, self._duration_s):,.1f} of {self._duration_s:,.0f} s'
        counts = ', '.join(f'{n:,} {what}' for what, n in self._counts.items())
        queues = ', '.join(f'{name} {n:,}' for name, n in self._queues.items())
        parts: list[RenderableType] = [
            Text(f'{self._name}: {done}' + (', and the drain' if self._now_s > self._duration_s else ''), 'bold'),
            Text(counts), Text(f'Pace: {self._pace()}'), Text(f'Ready in queues: {queues or "not asked yet"}')]
        parts += [part for sheet in (self._flow_sheet(), self._stage_sheet()) if sheet.rows
                  for part in ('', Fitting(sheet))]
        nodes = self._nodes[:NODES_SHOWN]
        if len(self._nodes) > len(nodes):
            nodes.append(f'and {len(self._nodes) - len(nodes)} more workers')
        return Group(*parts, '', *map(Text, nodes))

    def _pace(self) -> str:
        said = [f'{what} {seconds(_percentile(newest, 50))} late in the median, {seconds(_percentile(newest, 99))} p99'
                for what, newest in zip(LATE.values(), self._late.values(), strict=True) if newest]
        return '; '.join(said) or 'nothing came back yet'

    def _flow_sheet(self) -> Sheet:
        flows = dict.fromkeys(flow for flow, _ in self._newest)
        lines = [(Cell(flow), Cell(f'{self._n[flow, "round_trip_s"]:,}'), *(
            Cell(f'{seconds(_percentile(self._newest[flow, column], 50))}\n'
                 f'{seconds(_percentile(self._newest[flow, column], 95))}') for column in PARTS)) for flow in flows]
        return Sheet('Measured on hardware: p50, and p95 below', ('flow', 'messages', *PARTS.values()), lines)

    def _stage_sheet(self) -> Sheet:
        lines = [(Cell(flow), Cell(stage), Cell(f'{self._n[flow, stage]:,}'),
                  *(Cell(seconds(_percentile(newest, q))) for q in (50, 95)))
                 for (flow, stage), newest in self._stages.items()]
        return Sheet('Stages on hardware', ('flow', 'stage', 'times', 'p50', 'p95'), lines, n_left=2,
                     note=f'all percentiles: of the newest {NEWEST_MAX:,} of each')


def _percentile(values: Sequence[float] | deque[float], q: float) -> float:
    return float(np.percentile(values, q)) if values else math.nan
