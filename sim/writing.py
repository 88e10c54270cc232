"""What a run folder is filled with: manifest, resolved scenario, tables, summary; and the name that it gets."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import resource
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from sim.profiles import load_profile
from sim.records import write_table
from sim.running import Execution
from sim.scenario import Scenario
from sim.summary import summarise
from sim.tables import tables

ROOT = Path(__file__).resolve().parent.parent
VERSIONED = ('iomtwin', 'simpy', 'numpy', 'numba', 'networkx', 'polars', 'pydantic')
NOT_HASHED = {'seed', 'replications', 'description'}  # the same experiment, run again


def write_run(folder: Path, execution: Execution) -> None:
    """Write manifest, scenario, tables and summary of an execution."""
    recording = execution.recording
    (folder / 'manifest.json').write_text(json.dumps(_manifest(execution), indent=2) + '\n', 'utf-8')
    (folder / 'scenario.yaml').write_text(resolved_yaml(execution.scenario), 'utf-8')
    for name, table in tables(recording).items():
        write_table(table, folder / f'{name}.parquet')
    (folder / 'summary.json').write_text(json.dumps(summarise(recording), indent=1, allow_nan=False) + '\n', 'utf-8')


def scenario_hash(scenario: Scenario) -> str:
    """Return the SHA-256 of a scenario and its profiles, without seed, replications and description."""
    data = {**scenario.model_dump(mode='json', exclude=NOT_HASHED), 'profile digests': profile_digests(scenario)}
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def profile_digests(scenario: Scenario) -> dict[str, str]:
    """Return the SHA-256 of every profile that a scenario uses, by name."""
    used = {device.profile for device in scenario.devices.values()}
    used |= {node.profile for node in scenario.edge.nodes.values()} | {scenario.edge.server.profile}
    return {name: load_profile(name).sha256 for name in sorted(used)}


def scenario_folder(out: Path, scenario: Scenario) -> Path:
    """Return the folder of all seeds of a scenario."""
    return out / f'{scenario.name}-{scenario_hash(scenario)[:8]}'


def resolved_yaml(scenario: Scenario) -> str:
    """Return a scenario as YAML with every default said; reading it gives the same scenario."""
    stream = io.StringIO()
    yaml = YAML(typ='safe', pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # declared None, read as a truth
    yaml.dump(scenario.model_dump(mode='json'), stream)
    return stream.getvalue()


def _manifest(execution: Execution) -> dict[str, Any]:
    scenario, recording = execution.scenario, execution.recording
    return {
        'scenario': scenario.name, 'scenario_hash': scenario_hash(scenario), 'seed': scenario.seed,
        'world': 'simulated', 'engine': execution.engine, 'trace': recording.trace, 'is_valid': True,
        'written_at': datetime.now(UTC).isoformat(timespec='seconds'),
        'versions': {'python': platform.python_version(), **{name: _version(name) for name in VERSIONED}},
        'git_commit': _git_commit(), 'machine': f'{platform.system()} {platform.machine()}',
        'profiles': profile_digests(scenario),
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
