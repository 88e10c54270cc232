"""What a paced run writes down beside its recording: how late the twin was, and what the workers measured.

Two kinds of lateness move what is measured: a message that was sent after the model had it due, and a reply that came
before a time which the engine had already passed. An event between the two that acts late moves nothing, for its time
is the model's. What a twin always takes is a part of the way, and calibration counts it there; a run is late by what is
more than that.

Every duration is a difference on one clock. A worker tells how long a message waited at it and how long it was worked
on; what is left of the round trip is the broker's, the network's and the operating systems' together.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from hil.worker.dispatcher import clock_id
from sim.flows import CRYPTO_STAGES, FLOWS
from sim.results.summary import times
from sim.results.tables import jobs

if TYPE_CHECKING:
    from hil.ledger import ChainId, Ended
    from hil.wire.message import Message
    from sim.engines.reference.routes import Job
    from sim.results.recording import Recording

LATE_SHARE_MAX = 0.05  # of a flow's median latency: half of its messages are sent and heard within this, and 99 %
LATE_S_MAX = 0.020  # within as much again; at most
N_FOR_LATE = 100  # messages of a flow, for there to be one in a hundred
LATE_S_MIN = 1e-3  # and at least: what a p95 is told to, when model and hardware are compared
STEAL_MAX = 0.01  # of the processors' time, taken by other guests of the host
CPU_SHARE_MIN = 0.95  # of a compute stage's time, in which its thread had a processor
WAITS = ('fl.aggregate',)  # compute stages that also wait for a disk

CHAIN_COLUMNS = {'job': pl.Int64, 'flow': pl.String, 'first_stage': pl.String, 'outcome': pl.String,
                 'attempt': pl.Int64, 'sent_s': pl.Float64, 'replied_s': pl.Float64, 'round_trip_s': pl.Float64,
                 'waiting_s': pl.Float64, 'service_s': pl.Float64, 'cpu_s': pl.Float64,
                 'broker_and_wire_s': pl.Float64, 'there_s': pl.Float64, 'back_s': pl.Float64,
                 'sent_late_s': pl.Float64, 'heard_late_s': pl.Float64, 'is_counted': pl.Boolean}
WORK_COLUMNS = {'job': pl.Int64, 'flow': pl.String, 'stage': pl.String, 'place': pl.String, 'node': pl.String,
                'is_redelivered': pl.Boolean, 'wall_s': pl.Float64, 'cpu_s': pl.Float64, 'is_counted': pl.Boolean}


@dataclass
class Notes:
    """The notes of one run; seconds throughout. A message is counted if its job was launched in the measured time."""

    measured_s: tuple[float, float]  # from the end of the warm-up to the end of the duration
    lateness: array[float] = field(default_factory=lambda: array('d'))  # of each event: acted after it was due
    n_held: int = 0  # chains that waited for room in the ledger
    n_unprepared: int = 0  # chains that waited for their device
    n_dead_letters: int = 0
    blocked: list[tuple[float, str]] = field(default_factory=list)  # the broker took nothing: since when, and why
    chains: list[tuple[object, ...]] = field(default_factory=list)
    work: list[tuple[object, ...]] = field(default_factory=list)
    _sent_late_s: dict[ChainId, float] = field(default_factory=dict)  # of chains that are away
    _clock: bytes = field(default_factory=clock_id)

    def add_lateness(self, seconds: float) -> None:
        """Note how late an event acted."""
        self.lateness.append(seconds)

    def sent(self, chain: ChainId, late_s: float) -> None:
        """Note how long after it was due a chain's message was sent."""
        self._sent_late_s[chain] = late_s

    def add_reply(self, job: Job, chain: ChainId, message: Message, ended: Ended, begin_ns: int, late_s: float) -> None:
        """Note a chain's end, what its workers measured, and by how much its reply came into the model too late."""
        is_counted = self.measured_s[0] <= job.launched_s < self.measured_s[1]
        table = FLOWS[message.flow]
        waiting_ns = sum(timing.started_ns - timing.received_ns for timing in message.timings)
        service_ns = sum(timing.finished_ns - timing.started_ns for timing in message.timings)
        cpu_ns = sum(stage.cpu_ns for timing in message.timings for stage in timing.stages)
        trip_ns = ended.ended_ns - ended.launched_ns
        self.chains.append((
            job.id, message.flow, table[message.slip[0].first].name, ended.outcome, ended.attempt,
            (ended.launched_ns - begin_ns) * 1e-9, (ended.ended_ns - begin_ns) * 1e-9, trip_ns * 1e-9,
            waiting_ns * 1e-9, service_ns * 1e-9, cpu_ns * 1e-9, (trip_ns - waiting_ns - service_ns) * 1e-9,
            *self._ways(message, ended), self._sent_late_s.pop(chain), late_s, is_counted))
        for timing in message.timings:
            for stage in timing.stages:
                done = table[stage.stage]
                self.work.append((job.id, message.flow, done.name, done.place, timing.node.hex(),
                                  timing.is_redelivered, stage.wall_ns * 1e-9, stage.cpu_ns * 1e-9, is_counted))

    def _ways(self, message: Message, ended: Ended) -> tuple[float | None, float | None]:
        """Return the time to the first worker and that back from the last, if both read the twin's own clock."""
        first, last = message.timings[0], message.timings[-1]
        return ((first.received_ns - ended.launched_ns) * 1e-9 if first.clock == self._clock else None,
                (ended.ended_ns - last.finished_ns) * 1e-9 if last.clock == self._clock else None)

    @staticmethod
    def crypto_s(reply: Message) -> float:
        """Return the seconds that the crypto of a chain took."""
        table = FLOWS[reply.flow]
        return sum(stage.wall_ns for timing in reply.timings for stage in timing.stages
                   if table[stage.stage].name.startswith(CRYPTO_STAGES)) * 1e-9

    def tables(self, nodes: Mapping[bytes, str]) -> dict[str, pl.DataFrame]:
        """Return what was measured: a row a chain, and a row for each stage of it.

        Parameters
        ----------
        nodes
            The names of the nodes by their ids.
        """
        names = {each.hex(): name for each, name in nodes.items()}
        work = pl.DataFrame(self.work, WORK_COLUMNS, orient='row')
        return {'chains': pl.DataFrame(self.chains, CHAIN_COLUMNS, orient='row'),
                'work': work.with_columns(pl.col('node').replace(names))}

    def summary(self) -> list[dict[str, Any]]:
        """Return what was measured of each flow and each of its stages, as rows of a summary."""
        tables = {name: table.filter('is_counted') for name, table in self.tables({}).items()}
        rows = []
        for (flow,), chains in tables['chains'].group_by('flow', maintain_order=True):
            rows += [times(f'measured_{column}', chains[f'{column}_s'].to_list(), flow=str(flow))
                     for column in ('round_trip', 'waiting', 'service', 'broker_and_wire')]
        for (flow, place, stage), work in tables['work'].group_by('flow', 'place', 'stage', maintain_order=True):
            rows.append(times('measured_stage', work['wall_s'].to_list(), flow=str(flow), station=f'{place} {stage}'))
        return rows

    def pacing(self) -> dict[str, float | int | None]:
        """Return how the twin kept pace, for a manifest; percentiles in s, None where nothing happened."""
        chains = pl.DataFrame(self.chains, CHAIN_COLUMNS, orient='row')
        found: dict[str, float | int | None] = {'n_held': self.n_held, 'n_dead_letters': self.n_dead_letters,
                                                'n_unprepared': self.n_unprepared}
        for name, values in (('event_late', self.lateness), ('sent_late', chains['sent_late_s']),
                             ('heard_late', chains['heard_late_s'])):
            for q in (50, 99):
                found[f'{name}_p{q}_s'] = float(np.percentile(values, q)) if len(values) else None
        return found


def why_invalid(notes: Notes, latencies: Mapping[str, float], steal: float) -> list[str]:
    """Return why a run must not be averaged with others, one line each; nothing if it may.

    Parameters
    ----------
    latencies
        By flow, the median latency of its jobs, s.
    steal
        Share of the processors' time that went to other guests of the host meanwhile.
    """
    chains = pl.DataFrame(notes.chains, CHAIN_COLUMNS, orient='row').filter('is_counted')
    found = []
    for (flow,), rows in chains.group_by('flow', maintain_order=True):
        if rows.height < N_FOR_LATE:
            continue
        allowed_s = min(max(LATE_SHARE_MAX * latencies.get(str(flow), 0.0), LATE_S_MIN), LATE_S_MAX)
        for column, what in (('sent_late_s', 'messages were sent'), ('heard_late_s', 'replies were heard')):
            usual_s, late_s = np.percentile(rows[column], [50, 99])
            if usual_s > allowed_s or late_s - usual_s > allowed_s:
                found.append(f'{flow}: half of the {what} {1e3 * usual_s:.2f} ms late or more, and 1 % of them '
                             f'{1e3 * (late_s - usual_s):.2f} ms later than that; expected at most '
                             f'{1e3 * allowed_s:.2f} ms each: give the twin a processor of its own, or less to do')
    found += why_stolen(steal)
    if notes.blocked:
        since_s, reason = min(notes.blocked)
        found.append(f'the broker stopped taking messages {since_s:.1f} s after the beginning ({reason}); '
                     'expected never: give it more memory or disk')
    work = pl.DataFrame(notes.work, WORK_COLUMNS, orient='row').filter(pl.col('wall_s') > 0.0)
    shares = work.group_by('stage', maintain_order=True).agg((pl.col('cpu_s') / pl.col('wall_s')).median())
    found += [f'{stage}: its thread had a processor for {100 * share:.0f} % of its time, in the median; expected at '
              f'least {100 * CPU_SHARE_MIN:g} %: something else ran on its node'
              for stage, share in shares.iter_rows() if share < CPU_SHARE_MIN and stage not in WAITS]
    return found


def why_stolen(steal: float) -> list[str]:
    """Return in a line that too large a share of the processors' time went to other guests; nothing if it did not."""
    if steal <= STEAL_MAX:
        return []
    told = f'{100 * steal:.1f} % of the processor time went to other guests of the host'
    return [f'{told}; expected at most {100 * STEAL_MAX:g} %']


def median_latencies(recording: Recording) -> dict[str, float]:
    """Return by flow the median latency of the jobs that were launched in the measured time, s."""
    rows = jobs(recording).filter(pl.col('is_counted'), pl.col('outcome').is_in(['delivered', 'expired']))
    return dict(rows.group_by('flow').agg(pl.col('latency_s').median()).iter_rows())
