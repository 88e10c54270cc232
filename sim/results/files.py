"""What stands in the files of a run folder, for those who read one: damage is told with the file and what is wrong.

Only what the analysis relies on is asked for, so that older folders can still be read. Whether the numbers of one file
fit those of another is left out.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sim.errors import InputError
from sim.mistakes import first_mistake
from sim.yaml_source import read_file, read_yaml, spell_key

REMEDY = 'make the run again'
Count = Annotated[int, Field(ge=0, lt=2**63)]


class Security(BaseModel):
    """What the cryptography is, and claims; the category is null of what is not used."""

    model_config = ConfigDict(strict=True)

    suite: str | None
    kem: str
    aead: str
    signature: str
    implementation: str
    key_category: Count | None
    signature_category: Count | None
    forward_secrecy: str


class Worker(BaseModel):
    """What a worker of a run on hardware said of itself."""

    model_config = ConfigDict(strict=True)

    node: str
    place: str
    version: str
    provider: str
    machine: str
    kernel: str
    cores: Count
    memory_mib: Count


class Testbed(BaseModel):
    """On what a run was made that is on hardware, and how the twin kept pace."""

    model_config = ConfigDict(strict=True)

    testbed: str
    is_padded: bool
    places: list[str]
    model: str
    broker: str
    kem_provider: str
    workers: list[Worker]
    replies: dict[str, Count]
    pacing: dict[str, float | None]
    scheduling: str = ''
    steal: float
    others: float = 0.0  # runs of an earlier version did not look


class Manifest(BaseModel):
    """What was run, with what, and whether it counts; runs are told apart by their seed, the rest is shown."""

    model_config = ConfigDict(strict=True)

    seed: Count
    scenario: str = ''
    scenario_hash: str = ''
    world: str = ''
    engine: str = ''
    trace: Literal['none', 'jobs', 'stages'] = 'none'
    is_valid: bool = True
    invalid_because: str | list[str] | None = None
    warnings: list[str] = []
    security: Security | None = None
    hardware: Testbed | None = None
    written_at: str = ''
    versions: dict[str, str] = {}
    git_commit: str | None = None
    machine: str = ''
    profiles: dict[str, str] = {}
    n_devices: Count = 0
    n_jobs: Count = 0
    n_hops: Count = 0
    n_events: Count = 0
    simulated_s: float = 0.0
    lowering_wall_s: float = 0.0
    engine_wall_s: float = 0.0
    compile_wall_s: float = 0.0
    peak_memory_mib: Count = 0


class SummaryRow(BaseModel):
    """One metric."""

    model_config = ConfigDict(strict=True)

    metric: str
    flow: str | None
    class_: str | None = Field(alias='class')
    station: str | None
    unit: str | None
    n: Count | None
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None


TEXT, WHOLE, REAL, TRUTH = 'texts', 'whole numbers', 'numbers', 'truths'
COLUMNS: Mapping[str, Mapping[str, str]] = {  # of every table that a run may have, those that are read
    'jobs': {'job': WHOLE, 'flow': TEXT, 'class': TEXT, 'launched_s': REAL, 'latency_s': REAL, 'outcome': TEXT,
             'is_counted': TRUTH},
    'stages': {'job': WHOLE, 'hop': WHOLE, 'stage': TEXT, 'place': TEXT, 'finished_s': REAL, 'service_s': REAL},
    'rounds': {'round': WHOLE, 'started_s': REAL, 'n_selected': WHOLE, 'n_delivered': WHOLE, 'quorum_met': TRUTH,
               'round_time_s': REAL, 'distribution_time_s': REAL},
    'keys': {'event': TEXT, 'cause': TEXT, 'class': TEXT, 'device': WHOLE, 'due_s': REAL, 'ended_s': REAL},
    # What workers measured, of a run on hardware: a row a chain of stages, and a row a stage.
    'chains': {'job': WHOLE, 'flow': TEXT, 'outcome': TEXT, 'round_trip_s': REAL, 'waiting_s': REAL, 'service_s': REAL,
               'broker_and_wire_s': REAL, 'is_counted': TRUTH},
    'work': {'job': WHOLE, 'flow': TEXT, 'stage': TEXT, 'place': TEXT, 'node': TEXT, 'wall_s': REAL, 'cpu_s': REAL},
    'devices': {'class': TEXT, 'device': WHOLE},
    'stations': {'station': TEXT, 'kind': TEXT, 'servers': WHOLE, 'utilisation': REAL, 'served': WHOLE,
                 'waiting_mean': REAL, 'waiting_max': WHOLE, 'dropped': WHOLE, 'redelivered': WHOLE},
}


def read_json(path: Path, shape: Any) -> Any:
    """Return the data of a JSON file of a run folder; `shape` is a type that pydantic validates.

    Raises
    ------
    InputError
        If the file cannot be read, is not JSON, or has not the keys and values of its shape.
    """
    try:
        data = json.loads(path.read_bytes())
        TypeAdapter(shape).validate_python(data)
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror}); {REMEDY}') from None
    except ValidationError as error:
        location, sentence = first_mistake(error, data, shape, REMEDY)
        at = f'{path}: {spell_key(location)}'.rstrip(': ')
        raise InputError(f'{at}: {sentence}') from None
    except (ValueError, RecursionError) as error:  # a ValueError for bytes that are no text, too
        raise InputError(f'{path}: is not JSON ({error}); {REMEDY}') from None
    return data


def read_tree(path: Path) -> dict[str, Any]:
    """Return the scenario of a run folder as it stands in its file.

    Raises
    ------
    InputError
        If the file cannot be read or is not YAML.
    """
    data, _ = read_yaml(read_file(path, str(path)), lambda line, at: f'{path}:{line} {spell_key(at)}'.rstrip())
    if not isinstance(data, dict):
        raise InputError(f'{path}:1: holds no keys; {REMEDY}')
    return data


def read_table(path: Path, name: str) -> pl.DataFrame:
    """Return a table of a run folder.

    Raises
    ------
    InputError
        If the file cannot be read, is not Parquet, or lacks a column or the right values in one.
    """
    try:
        with path.open('rb') as stream:  # Polars takes a bracket in a name for a pattern
            table = pl.read_parquet(stream)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise InputError(f'{path}: is not a whole Parquet file ({" ".join(str(error).split())}); {REMEDY}') from None
    for column, kind in COLUMNS[name].items():
        if column not in table.columns:
            raise InputError(f"{path}: has no column '{column}'; {REMEDY}")
        found = _kind(table[column].dtype)
        if found != kind:
            raise InputError(f"{path}: the column '{column}' holds {found}, not {kind}; {REMEDY}")
    return table


def _kind(dtype: pl.DataType) -> str:
    """Return what a column holds, in words."""
    if dtype.is_integer():
        return WHOLE
    if dtype.is_float():
        return REAL
    return TEXT if dtype == pl.String else TRUTH if dtype == pl.Boolean else str(dtype)
