"""What a schema finds wrong with a file, in one sentence for its owner: what was found, expected, and what to do.

Scenarios, profiles, inventories and run folders say it alike; where it stands in a file, whoever reads it knows. The
sentences of values of our own are those of their validators.
"""

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sim.errors import suggestion
from sim.yaml_source import Location

EXPECTED = {  # what pydantic says in the terms of Python, by its kind of error
    'model_type': 'a mapping of keys to values',
    'dict_type': 'a mapping of names to values',
    'mapping_type': 'a mapping of names to values',
    'tuple_type': 'a list',
    'list_type': 'a list',
    'invalid_key': 'a name as key',
    'string_pattern_mismatch': 'lower-case letters and digits, with hyphens between them',
}


def first_mistake(error: ValidationError, data: Any, schema: Any, remedy: str | None = None) -> tuple[Location, str]:
    """Return where the first thing is that a schema finds wrong with a file's data, and what it is.

    Parameters
    ----------
    schema
        A type that pydantic validates.
    remedy
        What to do about it, whatever it is; None: what each mistake asks for.
    """
    first = error.errors()[0]
    location = _in_tree(first['loc'], data)
    said, its_remedy = _sentence(first, location, schema)
    return location, '; '.join(filter(None, (said, remedy or its_remedy)))


def type_at(schema: Any, location: Location) -> Any:
    """Return the type of what a schema has at a location; None if it has nothing there."""
    part = _kind(schema)
    for key in location:
        origin = get_origin(part)
        if origin in (Mapping, dict):
            part = get_args(part)[1]
        elif origin in (tuple, list):
            part = get_args(part)[0]
        else:
            part = _keys(part).get(str(key))
        part = _kind(part)
    return part


def _in_tree(location: Location, data: Any) -> Location:
    """Drop the parts that pydantic adds for keys, unions and tuples, keep those that the file has."""
    kept: list[str | int] = []
    node: Any = data
    for part in location:
        if part in (node if isinstance(node, dict) else range(len(node)) if isinstance(node, list | tuple) else ()):
            kept.append(part)
            node = node[part]
        elif part == location[-1] != '[key]' and isinstance(node, dict):
            kept.append(part)  # a missing key
    return tuple(kept)


def _sentence(error: ErrorDetails, location: Location, schema: Any) -> tuple[str, str]:
    """Return what was found and expected, and what to do."""
    kind, found = error['type'], error['input']
    if kind == 'missing':
        return 'is missing', 'add it'
    if kind == 'extra_forbidden':
        return 'unknown key', suggestion(str(location[-1]), sorted(_keys(type_at(schema, location[:-1]))))
    if kind == 'value_error':
        return error['msg'].removeprefix('Value error, '), ''
    if kind in ('too_short', 'too_long'):
        limit, n, remedy = ('at least', 'min_length', 'add') if kind == 'too_short' else (
            'at most', 'max_length', 'remove')
        return f'has {error["ctx"]["actual_length"]} entries; expected {limit} {error["ctx"][n]}', f'{remedy} some'
    found = ('a mapping' if isinstance(found, dict) else 'a list' if isinstance(found, list)
             else 'nothing' if found is None else f"'{found}'")
    message = EXPECTED.get(kind) or error['msg'].removeprefix('Input should be ')
    return f'found {found}; expected {message[0].lower()}{message[1:]}', 'correct it'


def _kind(part: Any) -> Any:
    """Return a type without what may be absent and what is only annotated."""
    while get_origin(part) in (Annotated, Union, UnionType):
        part = get_args(part)[0]
    return part


def _keys(kind: Any) -> dict[str, Any]:
    """Return the types of a model's keys, as files call them; none of what is no model."""
    if not isinstance(kind, type) or not issubclass(kind, BaseModel):
        return {}
    return {info.alias or name: info.annotation for name, info in kind.model_fields.items()}
