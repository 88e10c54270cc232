"""Reads a scenario file: size, encoding, YAML, overrides, schema; every mistake told with its line.

`load` is the door. What a `Scenario` needs to point at its own lines later (a missing profile number, a dangling
link) is kept in an `Origin` beside it.
"""

import csv
import io
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_origin

from pydantic import ValidationError

from sim.errors import InputError, suggestion
from sim.mistakes import first_mistake, type_at
from sim.origin import Origin
from sim.resolving import resolve
from sim.scenario import Scenario
from sim.suites import PARTS
from sim.yaml_source import Location, in_file, read_file, read_yaml, refused_character, spell_key

SHIPPED = Path(__file__).resolve().parent.parent / 'scenarios'
ARRIVALS_BYTES_MAX = 1 << 25  # of one file; a run folder keeps them as files too
ARRIVALS_MAX = 1_000_000  # rows in all, 200 bytes each while they are lowered; a large hospital's alarms of months


def shipped_scenarios() -> list[str]:
    """Return the names of the scenarios that come with iomtwin."""
    return sorted(path.stem for path in SHIPPED.glob('*.yaml'))


def load(source: str | Path, overrides: Sequence[str] = ()) -> tuple[Scenario, Origin]:
    """Read a scenario and check it against the schema.

    Parameters
    ----------
    source
        A path, or the name of a shipped scenario.
    overrides
        ``key=value`` each, with a dotted key: ``crypto.prefetch=4``. A ``crypto.suite`` puts aside the primitives
        that the file names.

    Returns
    -------
    Scenario, Origin
        The scenario with every default filled in, see `resolving.resolve`, and what its later errors point with.

    Raises
    ------
    InputError
        With one line: file, line, key, what was found and what to do.
    """
    path = _find(source)
    file = str(source) if Path(source).suffix in ('.yaml', '.yml') else f'scenarios/{path.name}'
    data, marks = read_yaml(read_file(path, file), partial(in_file, file))
    if not isinstance(data, dict):
        raise InputError(f'{file}:1: holds no keys; expected a scenario; see scenarios/ward.yaml')
    overridden = [_override(data, text) for text in overrides]
    if ('crypto', 'suite') in overridden and data['crypto']['suite'] is not None:
        for part in PARTS:  # else the file's would count for more than the suite that is asked for
            if ('crypto', part) not in overridden:
                data['crypto'].pop(part, None)
    origin = Origin(file, marks, overridden)
    _read_arrivals(data, path.parent, origin)
    try:
        return resolve(Scenario.model_validate(data), path.parent), origin
    except ValidationError as error:
        raise origin.error(*first_mistake(error, data, Scenario)) from None


def _find(source: str | Path) -> Path:
    path = Path(source)
    if path.suffix in ('.yaml', '.yml'):
        if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises if the name is too long
            raise InputError(f"{source}: no such file; give a path or one of {', '.join(shipped_scenarios())}")
        return path
    shipped = SHIPPED / f'{source}.yaml'
    if str(source) in shipped_scenarios():
        return shipped
    raise InputError(f"'{source}' is neither a .yaml file nor a shipped scenario; "
                     f'{suggestion(str(source), shipped_scenarios())}')


def _override(data: Any, text: str) -> Location:
    """Set one dotted key to a YAML value and return the location that it begins to differ from the file at."""
    key, equals, value = text.partition('=')
    if not equals or not key:
        raise InputError(f'--set {text}: holds no key and value; write KEY=VALUE, e.g. --set crypto.prefetch=4')
    character = refused_character(key)
    if character:
        raise InputError(f'--set {key}: holds the character {character}; correct the key')
    new, _ = read_yaml(value, lambda _, at: f"--set {key}: '{value}' {spell_key(at)}".rstrip())
    *outer, last = key.split('.')
    node = data
    location: Location = ()
    first_new: Location = ()
    for name in outer:
        part = _part(node, name, key)
        location = (*location, part)
        if isinstance(node, dict) and node.get(part) is None:
            if node and _is_named(location[:-1]):
                raise InputError(f"--set {key}: there is no '{part}' in {spell_key(location[:-1])}; "
                                 f'{suggestion(part, node)} or, to add it, set it whole: {spell_key(location)}={{…}}')
            node[part] = {}
            first_new = first_new or location
        node = node[part]
    part = _part(node, last, key)
    node[part] = new
    return first_new or (*location, part)


def _part(node: Any, name: str, key: str) -> Any:
    """Return what a part of a dotted key is in a mapping or a list."""
    if isinstance(node, dict):
        return name
    if isinstance(node, list) and name.isdecimal() and len(name) < 10 and int(name) < len(node):
        return int(name)
    found = f'a list of {len(node)}' if isinstance(node, list) else f"'{node}'"
    raise InputError(f"--set {key}: there is no '{name}' to set in {found}; correct the key")


def _read_arrivals(data: Any, folder: Path, origin: Origin) -> None:
    """Put the rows of CSV files in the place of their names, so that the scenario is complete."""
    n_rows = 0
    devices = data.get('devices')
    for class_name, device in devices.items() if isinstance(devices, dict) else ():
        streams = device.get('streams') if isinstance(device, dict) else None
        for stream_name, stream in streams.items() if isinstance(streams, dict) else ():
            if isinstance(stream, dict) and isinstance(stream.get('arrivals'), str):
                location = ('devices', class_name, 'streams', stream_name, 'arrivals')
                name = stream['arrivals']
                text = read_file(folder / name, f"{origin.where(location)}: '{name}'", ARRIVALS_BYTES_MAX)
                stream['arrivals'] = _rows(text, partial(origin.error, location))
                origin.arrivals[class_name, stream_name] = os.path.abspath(folder / name)  # noqa: PTH100 - see resolve
                n_rows += len(stream['arrivals'])
                if n_rows > ARRIVALS_MAX:
                    raise origin.error(location, f'makes {n_rows:,} arrivals; at most {ARRIVALS_MAX:,} fit; take fewer')


def _rows(text: str, error: Callable[[str], InputError]) -> list[tuple[int, str]]:
    try:
        header, *table = [*csv.reader(io.StringIO(text, newline=''))] or [[]]
    except csv.Error as problem:
        raise error(f'is not CSV ({problem}); correct the file') from None
    if header != ['device', 'time_s']:
        raise error(f"the CSV file begins with '{','.join(header)}'; write 'device,time_s' into its first line")
    rows = []
    for number, row in enumerate(table, start=2):
        try:
            device, time_s = int(row[0]), float(row[1])
            if len(row) != 2 or device < 0 or not 0.0 <= time_s < float('inf'):
                raise ValueError
        except (ValueError, IndexError):
            raise error(f"line {number} of the CSV file is '{','.join(row)}'; expected a device number and seconds "
                        'since the start; correct the line') from None
        rows.append((device, f'{time_s!r} s'))
    return rows


def _is_named(location: Location) -> bool:
    """Return whether the keys at a location are names that the scenario's author gives."""
    return get_origin(type_at(Scenario, location)) is Mapping
