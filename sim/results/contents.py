"""What a run folder is filled with: manifest, resolved scenario, tables, summary; and the name that it gets."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from sim.memory import peak_bytes
from sim.profiles import Profile
from sim.resolving import labels, scenario_hash, write_resolved
from sim.results.folder import write_table
from sim.results.overload import warnings
from sim.results.summary import summarise, summarise_jobs
from sim.results.tables import tables
from sim.running import Execution
from sim.scenario import Scenario
from sim.security import claims

ROOT = Path(__file__).resolve().parents[2]
OF_JOBS = ('jobs', 'rounds')  # tables that hardware changes nothing of; it has no measured energy, nor stations
VERSIONED = ('iomtwin', 'simpy', 'numpy', 'numba', 'networkx', 'polars', 'pydantic')


def write_run(folder: Path, execution: Execution) -> None:
    """Write manifest, scenario with all that it reads, tables and summary of an execution."""
    recording = execution.recording
    (folder / 'manifest.json').write_text(json.dumps(_manifest(execution), indent=2) + '\n', 'utf-8')
    write_resolved(folder, execution.scenario, execution.profiles)
    found = tables(recording)
    if execution.measured is None:
        summary = summarise(recording)
    else:
        _write_logs(folder / 'logs', execution.measured.logs)
        found = {name: found[name] for name in OF_JOBS if name in found} | execution.measured.tables
        summary = [*summarise_jobs(recording), *execution.measured.summary]
    for name, table in found.items():
        write_table(table, folder / f'{name}.parquet')
    (folder / 'summary.json').write_text(json.dumps(summary, indent=1, allow_nan=False) + '\n', 'utf-8')


def _write_logs(folder: Path, logs: Mapping[str, str]) -> None:
    """Write what workers have said that failed; without any, there is no folder."""
    for name, text in logs.items():
        folder.mkdir(exist_ok=True)
        (folder / f'{name}.txt').write_text(text, 'utf-8')


def scenario_folder(out: Path, scenario: Scenario, profiles: Mapping[str, Profile]) -> Path:
    """Return the folder of all seeds of a scenario."""
    return out / f'{scenario.name}-{scenario_hash(scenario, profiles)[:8]}'


def _manifest(execution: Execution) -> dict[str, Any]:
    scenario, recording = execution.scenario, execution.recording
    return {
        'scenario': scenario.name, 'scenario_hash': scenario_hash(scenario, execution.profiles),
        'seed': scenario.seed,
        **_world(execution), 'engine': execution.engine, 'trace': recording.trace,
        'warnings': warnings(recording), 'written_at': datetime.now(UTC).isoformat(timespec='seconds'),
        'versions': {'python': platform.python_version(), **{name: _version(name) for name in VERSIONED}},
        'security': claims(scenario),
        'git_commit': _git_commit(), 'machine': f'{platform.system()} {platform.machine()}',
        'profiles': {label: execution.profiles[name].sha256 for name, label in labels(execution.profiles).items()},
        'n_devices': int(np.count_nonzero(recording.model.entities.attachment >= 0)),
        'n_jobs': recording.n_launched, 'n_hops': recording.n_hops, 'n_events': recording.n_events,
        'simulated_s': recording.end_s, 'lowering_wall_s': execution.lowering_wall_s,
        'engine_wall_s': execution.engine_wall_s, 'compile_wall_s': execution.compile_wall_s,
        'peak_memory_mib': peak_bytes() >> 20,
    }


def _world(execution: Execution) -> dict[str, Any]:
    """Return in what world it happened, and whether it may be averaged with others."""
    measured = execution.measured
    if measured is None:
        return {'world': 'simulated', 'is_valid': True}
    return {'world': 'hil', 'is_valid': not measured.invalid_because, 'invalid_because': measured.invalid_because,
            'hardware': dict(measured.facts)}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return 'unknown'


def _git_commit() -> str | None:
    """Return the commit of our own checkout, marked when files in it differ; None when installed without one."""
    if not (ROOT / '.git').exists():
        return None
    try:
        command = ['git', '-C', str(ROOT), 'describe', '--always', '--abbrev=40', '--dirty', '--exclude=*']
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
