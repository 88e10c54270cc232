"""As much of JSON Schema 2020-12 as the schema of scenarios uses; anything else in a schema is an error here."""

import re
from collections.abc import Iterator
from typing import Any

TYPES: dict[str, tuple[type, ...]] = {
    'object': (dict,), 'array': (list,), 'string': (str,), 'integer': (int,), 'number': (int, float),
    'boolean': (bool,), 'null': (type(None),)}
LIMITS = {
    'minimum': lambda value, limit: value >= limit, 'maximum': lambda value, limit: value <= limit,
    'exclusiveMinimum': lambda value, limit: value > limit, 'exclusiveMaximum': lambda value, limit: value < limit,
    'minLength': lambda value, limit: len(value) >= limit, 'maxLength': lambda value, limit: len(value) <= limit,
    'minItems': lambda value, limit: len(value) >= limit, 'maxItems': lambda value, limit: len(value) <= limit,
    'minProperties': lambda value, limit: len(value) >= limit, 'pattern': lambda value, limit: re.search(limit, value),
    'enum': lambda value, limit: value in limit, 'const': lambda value, limit: value == limit,
}
WORDS = {'type', 'title', 'description', 'examples', 'default', '$defs', 'required', 'additionalProperties'}


def problems(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str = '$') -> Iterator[str]:
    """Yield what of a value its schema does not allow; `root` holds the definitions."""
    kind = schema.get('type')
    if kind and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != 'boolean')):
        yield f'{at}: {value!r} is no {kind}'
        return
    for key, content in schema.items():
        if key == '$ref':
            yield from problems(value, root['$defs'][content.removeprefix('#/$defs/')], root, at)
        elif key == 'anyOf':
            if all(any(problems(value, option, root, at)) for option in content):
                yield f'{at}: {value!r} is none of what it may be'
        elif key in LIMITS:
            if not LIMITS[key](value, content):
                yield f'{at}: {value!r} is not within {key} {content}'
        elif key == 'properties':
            yield from _members(value, schema, root, at)
        elif key == 'items':
            first = schema.get('prefixItems', [])
            for i, item in enumerate(value):
                yield from problems(item, first[i] if i < len(first) else content, root, f'{at}[{i}]')
        elif key == 'prefixItems':
            for i, item in enumerate(value[:len(content)]):
                yield from problems(item, content[i], root, f'{at}[{i}]')
        elif key == 'patternProperties':
            for pattern, content_of in content.items():
                for name in [name for name in value if re.search(pattern, name)]:
                    yield from problems(value[name], content_of, root, f'{at}.{name}')
        elif key == 'propertyNames':
            for name in value:
                yield from problems(name, content, root, f'{at}.{name}')
        else:
            assert key in WORDS, f'this walker does not know {key}'
    if isinstance(schema.get('additionalProperties'), dict):
        for name in value.keys() - schema.get('properties', {}).keys():
            yield from problems(value[name], schema['additionalProperties'], root, f'{at}.{name}')


def _members(value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    for name, content in schema['properties'].items():
        if name in value:
            yield from problems(value[name], content, root, f'{at}.{name}')
    for name in set(schema.get('required', [])) - value.keys():
        yield f'{at}.{name}: is missing'
    if schema.get('additionalProperties') is False:
        for name in value.keys() - schema['properties'].keys():
            yield f'{at}.{name}: unknown'
