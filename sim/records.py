"""Run folders: what a run leaves on disk, written whole or not at all.

``results/<scenario>-<hash8>/seed-<n>/`` holds the manifest, the resolved scenario and the tables. Everything is
written to a hidden folder beside it, which takes its name when it is complete. The analysis reads folders through
`read_run` and knows nothing of engines.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import io
import json
import os
import platform
import resource
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from ruamel.yaml import YAML

from sim.errors import InputError, RunError
from sim.model import OUTCOMES
from sim.profiles import load_profile
from sim.recording import Recording
from sim.running import Execution
from sim.scenario import Scenario
from sim.summary import battery_days, device_energy, summarise

ROOT = Path(__file__).resolve().parent.parent
VERSIONED = ('iomtwin', 'simpy', 'numpy', 'numba', 'networkx', 'polars', 'pydantic')
NOT_HASHED = {'seed', 'replications', 'description'}  # the same experiment, run again
PARTIAL, OLD = '.partial', '.old'
REPLACEMENTS_MAX = 100
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


@dataclass(frozen=True)
class Run:
    """One run folder."""

    folder: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What was run, with what, and whether it counts."""
        loaded: dict[str, Any] = json.loads((self.folder / 'manifest.json').read_text('utf-8'))
        return loaded

    @cached_property
    def summary(self) -> list[dict[str, Any]]:
        """The metrics, one row each."""
        loaded: list[dict[str, Any]] = json.loads((self.folder / 'summary.json').read_text('utf-8'))
        return loaded

    @property
    def scenario_text(self) -> str:
        """The resolved scenario, as YAML."""
        return (self.folder / 'scenario.yaml').read_text('utf-8')

    def table(self, name: str) -> pl.DataFrame:
        """Return a table by its name without ending; empty when the run has none."""
        path = self.folder / f'{name}.parquet'
        return pl.read_parquet(path) if path.exists() else pl.DataFrame()


def read_run(folder: str | Path) -> Run:
    """Open a run folder.

    Raises
    ------
    InputError
        If the folder is not one.
    """
    run = Run(Path(folder))
    if not (run.folder / 'manifest.json').is_file() or not (run.folder / 'summary.json').is_file():
        raise InputError(f"'{folder}' is not a run folder; expected manifest.json and summary.json in it")
    return run


def find_runs(folder: Path) -> list[Run]:
    """Return the run in a folder, or the runs of all seeds below it.

    Raises
    ------
    InputError
        If there is none.
    """
    if (folder / 'manifest.json').is_file():
        return [read_run(folder)]
    found = (path.parent for path in folder.glob('seed-*/manifest.json'))
    runs = [read_run(path) for path in sorted(found, key=lambda path: (len(path.name), path.name))]
    if not runs:
        raise InputError(f"'{folder}' holds no run; give a run folder, a scenario's folder or a .yaml file")
    return runs


def scenario_hash(scenario: Scenario) -> str:
    """Return the SHA-256 of what a scenario is, without seed, replications and description."""
    data = scenario.model_dump(mode='json', exclude=NOT_HASHED)
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def scenario_folder(out: Path, scenario: Scenario) -> Path:
    """Return the folder of all seeds of a scenario."""
    return out / f'{scenario.name}-{scenario_hash(scenario)[:8]}'


@contextmanager
def complete_folder(target: Path) -> Iterator[Path]:
    """Give a hidden folder to write to, and rename it to `target` at the end; on any error remove it.

    A complete folder that is already there is replaced in one step, so that readers find the old or the new one, and
    of processes that write to one target the last wins.

    Raises
    ------
    RunError
        If the disk is full, or refuses for another reason.
    """
    partial = _partial(target)
    try:
        with _told(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.mkdir()
            yield partial
            _replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def complete_file(target: Path) -> Iterator[Path]:
    """Give a hidden file to write to, and rename it to `target` at the end; on any error remove it.

    Raises
    ------
    RunError
        If the disk is full, or refuses for another reason.
    """
    partial = _partial(target)
    try:
        with _told(target):
            yield partial
            partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _partial(target: Path) -> Path:
    return target.parent / f'.{target.name}.{os.getpid()}-{secrets.token_hex(4)}{PARTIAL}'


@contextmanager
def _told(target: Path) -> Iterator[None]:
    """Tell what a disk refuses in words for its owner."""
    try:
        yield
    except OSError as error:
        raise RunError(f'{target}: cannot be written ({error.strerror or error}); make room, or choose another folder '
                       'with --out') from error


def remove_partial(parent: Path, pid: int) -> None:
    """Remove what a process that was killed had not finished."""
    for partial in parent.glob(f'.*.{pid}-*{PARTIAL}'):
        shutil.rmtree(partial, ignore_errors=True)


def _replace(partial: Path, target: Path) -> None:
    """Give a complete folder its name; a folder that has the name is then at the place of the partial one, or gone."""
    for _ in range(REPLACEMENTS_MAX):
        try:
            partial.rename(target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        else:
            return
        if _exchange(partial, target):
            return
        with suppress(FileNotFoundError):  # another process was faster
            target.rename(partial / OLD)
        shutil.rmtree(partial / OLD, ignore_errors=True)
    raise OSError(errno.EEXIST, 'other processes keep writing to it')


def _exchange(one: Path, other: Path) -> bool:
    """Swap the names of two folders in one step: renameat2 of Linux 3.15, which most of its file systems know."""
    renameat2 = getattr(ctypes.CDLL(None), 'renameat2', None)
    return renameat2 is not None and renameat2(
        AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0


def write_run(folder: Path, execution: Execution) -> None:
    """Write manifest, scenario, tables and summary of an execution."""
    recording = execution.recording
    (folder / 'manifest.json').write_text(json.dumps(_manifest(execution), indent=2) + '\n', 'utf-8')
    (folder / 'scenario.yaml').write_text(resolved_yaml(execution.scenario), 'utf-8')
    if recording.trace != 'none':
        write_table(jobs(recording), folder / 'jobs.parquet')
    if recording.trace == 'stages':
        write_table(stages(recording), folder / 'stages.parquet')
    if recording.rounds:
        write_table(rounds(recording), folder / 'rounds.parquet')
    write_table(devices(recording), folder / 'devices.parquet')
    write_table(stations(recording), folder / 'stations.parquet')
    (folder / 'summary.json').write_text(json.dumps(summarise(recording), indent=1, allow_nan=False) + '\n', 'utf-8')


def write_table(table: pl.DataFrame, path: Path) -> None:
    """Write a table as Parquet.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    try:
        table.write_parquet(path)
    except pl.exceptions.ComputeError as error:  # what Polars makes of a full disk
        raise OSError(str(error).rpartition('IO error: ')[2]) from error


def resolved_yaml(scenario: Scenario) -> str:
    """Return a scenario as YAML with every default said; reading it gives the same scenario."""
    stream = io.StringIO()
    yaml = YAML(typ='safe', pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # declared None, read as a truth
    yaml.dump(scenario.model_dump(mode='json'), stream)
    return stream.getvalue()


def jobs(recording: Recording) -> pl.DataFrame:
    """Return one row a job, in the order in which they ended."""
    model, columns = recording.model, {name: np.array(column) for name, column in recording.jobs.items()}
    entity, stream = columns['entity'], columns['stream']
    launched_s, finished_s = columns['launched_s'], columns['finished_s']
    class_row = model.entities.class_row[entity]
    return pl.DataFrame({
        'job': columns['job'], 'flow': _names(model.flows, model.stream_flow[stream]),
        'stream': _names(model.streams, stream), 'class': _names(model.classes.name, class_row),
        'device': model.entities.index[entity], 'k': columns['k'], 'launched_s': launched_s,
        'finished_s': finished_s, 'latency_s': finished_s - launched_s, 'crypto_s': columns['crypto_s'],
        'mark_s': columns['mark_s'], 'outcome': _names(OUTCOMES, columns['outcome']),
        'attempt': columns['attempt'], 'wire_bytes': model.routes.wire_bytes[columns['route']],
        'is_counted': (launched_s >= model.warm_up_s) & (launched_s < model.duration_s),
    })


def stages(recording: Recording) -> pl.DataFrame:
    """Return one row a hop of a job; a transfer has one for each link, over all its segments."""
    model, columns = recording.model, {name: np.array(column) for name, column in recording.hops.items()}
    names = (*model.stations.name, *(f'queue {name}' for name in reversed(model.queues.name)), 'own')
    table = pl.DataFrame(columns).group_by('job', 'hop', 'attempt', 'station', maintain_order=True).agg(
        pl.len().alias('n_segments'), pl.col('arrived_s').min(), pl.col('started_s').min(),
        pl.col('finished_s').max(), (pl.col('finished_s') - pl.col('started_s')).sum().alias('service_s'))
    hop = table['hop'].to_numpy()
    return table.with_columns(
        stage=_names(model.stages, model.hops.stage[hop]), place=_names(model.places, model.hops.place[hop]),
        station=_names(names, table['station'].to_numpy()))


def rounds(recording: Recording) -> pl.DataFrame:
    """Return one row a round of federated learning."""
    names = ('round', 'started_s', 'n_selected', 'n_delivered', 'n_in_time', 'closed_s', 'aggregated_s',
             'distributed_s', 'n_distributed')
    table = pl.DataFrame({name: [getattr(row, name) for row in recording.rounds] for name in names})
    return table.with_columns(round_time_s=pl.col('aggregated_s') - pl.col('started_s'),
                              distribution_time_s=pl.col('distributed_s') - pl.col('started_s'))


def devices(recording: Recording) -> pl.DataFrame:
    """Return one row a device, over [warm_up, duration]."""
    model = recording.model
    at = np.flatnonzero(model.entities.attachment >= 0)
    energy_j, crypto_j = device_energy(recording)
    return pl.DataFrame({
        'class': _names(model.classes.name, model.entities.class_row[at]), 'device': model.entities.index[at],
        'access_point': _names(model.attachments.name, model.entities.attachment[at]),
        'busy_s': recording.busy_s[at, 0], 'busy_crypto_s': recording.busy_s[at, 1],
        'tx_s': recording.transmit_s[at, 0], 'tx_crypto_s': recording.transmit_s[at, 1],
        'rx_s': recording.receive_s[at, 0], 'rx_crypto_s': recording.receive_s[at, 1],
        'tx_bytes': recording.transmit_bytes[at], 'rx_bytes': recording.receive_bytes[at],
        'energy_j': energy_j[at], 'crypto_energy_j': crypto_j[at],
        'battery_days': battery_days(model, energy_j)[at],
        'battery_days_without_crypto': battery_days(model, energy_j - crypto_j)[at],
    })


def stations(recording: Recording) -> pl.DataFrame:
    """Return one row a station and a broker queue, over [warm_up, duration]."""
    model = recording.model
    seconds = model.duration_s - model.warm_up_s
    n_queues = len(model.queues.name)
    none = np.zeros(model.stations.n, np.int64)
    return pl.concat([
        pl.DataFrame({
            'station': list(model.stations.name), 'kind': list(model.stations.kind),
            'servers': model.stations.n_servers,
            'utilisation': recording.station_busy_s / seconds / model.stations.n_servers,
            'served': recording.station_served, 'waiting_mean': recording.station_waiting_s / seconds,
            'waiting_max': recording.station_waiting_max, 'dropped': none, 'redelivered': none,
        }),
        pl.DataFrame({
            'station': [f'queue {name}' for name in model.queues.name], 'kind': ['queue'] * n_queues,
            'servers': np.zeros(n_queues, np.int64), 'utilisation': np.full(n_queues, np.nan),
            'served': recording.queue_delivered, 'waiting_mean': recording.queue_waiting_s / seconds,
            'waiting_max': recording.queue_waiting_max, 'dropped': recording.queue_dropped,
            'redelivered': recording.queue_redelivered,
        }, schema_overrides={'station': pl.String, 'kind': pl.String}),
    ])


def _names(names: tuple[str, ...], rows: NDArray[np.int64]) -> pl.Series:
    return pl.Series(names, dtype=pl.String).gather(rows) if names else pl.Series([], dtype=pl.String)


def _manifest(execution: Execution) -> dict[str, Any]:
    scenario, recording = execution.scenario, execution.recording
    used = {device.profile for device in scenario.devices.values()}
    used |= {node.profile for node in scenario.edge.nodes.values()} | {scenario.edge.server.profile}
    return {
        'scenario': scenario.name, 'scenario_hash': scenario_hash(scenario), 'seed': scenario.seed,
        'world': 'simulated', 'engine': execution.engine, 'trace': recording.trace, 'is_valid': True,
        'written_at': datetime.now(UTC).isoformat(timespec='seconds'),
        'versions': {'python': platform.python_version(), **{name: _version(name) for name in VERSIONED}},
        'git_commit': _git_commit(), 'machine': f'{platform.system()} {platform.machine()}',
        'profiles': {name: load_profile(name).sha256 for name in sorted(used)},
        'n_devices': int(np.count_nonzero(recording.model.entities.attachment >= 0)),
        'n_jobs': recording.n_launched, 'n_hops': recording.n_hops, 'n_events': recording.n_events,
        'simulated_s': recording.end_s, 'lowering_wall_s': execution.lowering_wall_s,
        'engine_wall_s': execution.engine_wall_s,
        'peak_memory_mib': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return 'unknown'


def _git_commit() -> str | None:
    try:
        found = subprocess.run(['git', '-C', str(ROOT), 'rev-parse', 'HEAD'],
                               capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
