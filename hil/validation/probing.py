"""What a testbed is calibrated with: runs of messages whose sizes and times are chosen.

Each run has three parts. First messages come one by one, so that nothing waits for another; then many of one size at
once, so that it shows how long the broker is busy with each; then rounds of learning, for what is only done there.
Runs differ in the size of the model, and in how many messages a worker may hold. The twin does in them what it does in
those that are compared: it simulates devices, and lets their cryptography be done beside it. A probe's links are fast,
so that what the broker has to do comes at once.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hil.inventory import Inventory
from hil.paced.notes import why_stolen
from hil.paced.running import execute, plan
from sim.errors import RunError
from sim.loading import load
from sim.origin import Origin
from sim.results.tables import tables
from sim.scenario import Scenario

PROBES = Path(__file__).with_name('probes.yaml')
MANY = 32  # messages that a worker may hold, where it is not to be what limits
SIZES = (64, 1 << 10, 16 << 10, 64 << 10, 256 << 10)  # of messages, bytes
BEGIN_S = 1.0
GAP_S = 0.04  # between messages that come one by one, in the mean; half of it at least
N_TOGETHER = 12  # messages of a burst: more than a worker holds
REST_S = 0.6  # after a burst, and between the parts
LEARNING_S = 8.0
CHAINS, WORK, FACTS = 'chains.parquet', 'work.parquet', 'probe.json'


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    alone_s: float  # of messages that come one by one, in each run
    n_bursts: int  # of each size, in each run
    runs: tuple[tuple[int, int], ...]  # bytes of the model, and how many messages a worker may hold


FULL = Effort(12.0, 3, tuple((n_bytes, held) for n_bytes in (4_000, 64_000, 256_000, 1_000_000) for held in (1, MANY)))
QUICK = Effort(4.0, 1, ((16_000, 1), (256_000, MANY)))


@dataclass(frozen=True)
class Probe:
    """What one run measured: a row a message, and a row for each stage of it; times in s.

    Attributes
    ----------
    chains, work
        As `hil.paced.notes` has them; `chains` with `n_bytes` of payload, model or update, and `is_alone` for those
        that came one by one.
    """

    prefetch: int
    model_bytes: int
    chains: pl.DataFrame
    work: pl.DataFrame
    facts: dict[str, Any]

    def write(self, folder: Path) -> None:
        """Leave what was measured in a folder that is there."""
        self.chains.write_parquet(folder / CHAINS)
        self.work.write_parquet(folder / WORK)
        told = {'prefetch': self.prefetch, 'model_bytes': self.model_bytes, 'facts': self.facts}
        (folder / FACTS).write_text(json.dumps(told, indent=1) + '\n', 'utf-8')

    def invalid_because(self) -> list[str]:
        """Return why the probe says less of the testbed than of its host; a burst may be late, that is what it is."""
        return why_stolen(self.facts['steal'])

    @classmethod
    def read(cls, folder: Path) -> 'Probe':
        """Return what `write` left in a folder."""
        told = json.loads((folder / FACTS).read_text('utf-8'))
        return cls(told['prefetch'], told['model_bytes'], pl.read_parquet(folder / CHAINS),
                   pl.read_parquet(folder / WORK), told['facts'])


def probe(inventory: Inventory, suite: str, effort: Effort, i: int, seed: int) -> Probe:
    """Run the probe `i` of an effort, from 0, for one suite.

    Raises
    ------
    BrokerError, RunError
        If the testbed does not start, or breaks.
    """
    n_bytes, prefetch = effort.runs[i]
    scenario, origin = probe_scenario(suite, effort, n_bytes, prefetch, seed + i)
    return _run(scenario, origin, inventory, effort)


def probe_scenario(suite: str, effort: Effort, model_bytes: int, prefetch: int, seed: int) -> tuple[Scenario, Origin]:
    """Return the scenario of one run."""
    streams, duration_s = _streams(effort, np.random.default_rng(seed))
    learning = {'start': f'{duration_s:.3f} s', 'model': f'{model_bytes} B', 'update': f'{model_bytes} B'}
    scenario, origin = load(str(PROBES), [
        f'seed={seed}', f'duration={duration_s + LEARNING_S:.3f} s', f'crypto.suite={suite}',
        f'crypto.prefetch={prefetch}', *(f'learning.{key}={value}' for key, value in learning.items())])
    probe = scenario.devices['probe'].model_validate(
        scenario.devices['probe'].model_dump(mode='json') | {'streams': streams})
    return scenario.model_copy(update={'devices': {**scenario.devices, 'probe': probe}}), origin


def _streams(effort: Effort, rng: np.random.Generator) -> tuple[dict[str, Any], float]:
    """Return a stream for each size, with its arrivals; and when they are over."""
    n = int(effort.alone_s / GAP_S)
    times = BEGIN_S + GAP_S * (np.arange(n) + rng.uniform(0.0, 0.5, n))  # none while another is under way
    arrivals: dict[int, list[tuple[int, float]]] = {size: [] for size in SIZES}
    for time_s, size in zip(times, rng.permutation(np.resize(SIZES, n)).tolist(), strict=True):
        arrivals[size].append((len(arrivals[size]) % 8, float(time_s)))
    end_s = BEGIN_S + effort.alone_s + REST_S
    for _ in range(effort.n_bursts):
        for size in SIZES:
            arrivals[size] += [(i % 8, end_s + 1e-6 * (i // 8)) for i in range(N_TOGETHER)]
            end_s += REST_S
    return {stream_of(size): {
        'flow': 'vitals', 'payload': f'{size} B', 'arrivals': [[device, f'{time_s!r} s'] for device, time_s in rows],
    } for size, rows in arrivals.items()}, end_s


def stream_of(size: int) -> str:
    """Return the name of the stream whose messages have a size."""
    return f'bytes-{size}'


def _run(scenario: Scenario, origin: Origin, inventory: Inventory, effort: Effort) -> Probe:
    execution = execute(plan(scenario, origin, inventory))
    measured = execution.measured
    assert measured is not None
    jobs = tables(execution.recording)['jobs'].select('job', 'stream')
    assert scenario.learning is not None
    sizes = {f'vitals/{stream_of(size)}': size for size in SIZES} | {'fl-update': scenario.learning.update}
    chains = measured.tables['chains'].join(jobs, on='job').filter(pl.col('outcome') == 'delivered').with_columns(
        n_bytes=pl.col('stream').replace_strict(sizes, default=None, return_dtype=pl.Int64),
        is_alone=pl.col('stream').is_in([*sizes]) & (pl.col('sent_s') < BEGIN_S + effort.alone_s + REST_S / 2))
    if chains.height == 0:
        raise RunError('no message of the calibration came back; look at the broker and the workers')
    return Probe(scenario.crypto.prefetch, scenario.learning.model, chains, measured.tables['work'],
                 dict(measured.facts))
