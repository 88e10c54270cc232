"""Reads a kustomize folder into objects: the part of kustomize that the files in ``k3s/`` use, and no more.

The files are there for ``kubectl apply -k`` as well, and must not be said twice. So we read them as kustomize does, and
where one of them asks for what we do not know, it is refused by name. That both readings agree is tested against
kubectl itself, for every folder.

===================  ========================================================================
``resources``        files with one or more objects, and folders with a kustomization.yaml
``namespace``        of every object that can have one, and the name of the Namespace itself
``labels``           of metadata, not of selectors or templates
``replacements``     of a whole field by another object's
``patches``          lists of operations (RFC 6902), for one object by kind and name
===================  ========================================================================

They take effect in this order.
"""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from hil.cluster.kinds import KINDS
from sim.errors import InputError, suggestion

Object = dict[str, Any]  # of Kubernetes
FILE = 'kustomization.yaml'


def read_kustomization(folder: Path) -> list[Object]:
    """Return the objects that a kustomize folder describes.

    Raises
    ------
    InputError
        If a file is not there, is no YAML, or asks for what we do not know.
    """
    file = folder / FILE
    said = _only(_documents(file), file)
    unknown = said.keys() - {'apiVersion', 'kind', 'resources', *STEPS}
    if unknown:
        raise InputError(f'{file}: {min(unknown)}: is not done here; {suggestion(min(unknown), STEPS)}')
    objects: list[Object] = []
    for name in said.get('resources', ()):
        path = folder / name
        objects += read_kustomization(path) if path.is_dir() else _documents(path)
    for key, step in STEPS.items():
        if key in said:
            step(objects, said[key], file)
    return objects


def find(objects: list[Object], kind: str, name: str) -> Object:
    """Return the object of a kind and name.

    Raises
    ------
    InputError
        If there is none.
    """
    found = [each for each in objects if each['kind'] == kind and each['metadata']['name'] == name]
    if len(found) != 1:
        raise InputError(f'k3s: found {len(found)} of kind {kind} with the name {name}; expected one')
    return found[0]


def patched(target: Object, operations: list[Mapping[str, Any]]) -> None:
    """Change an object by operations of RFC 6902: add, replace and remove.

    Raises
    ------
    InputError
        If an operation is another one, or there is nothing at its path.
    """
    for operation in operations:
        *way, last = [part.replace('~1', '/').replace('~0', '~') for part in operation['path'].split('/')[1:]]
        try:
            parent: Any = target
            for part in way:
                parent = parent[int(part) if isinstance(parent, list) else part]
            _operate(parent, last, operation)
        except (KeyError, IndexError, TypeError, ValueError):
            raise InputError(f'k3s: {target["kind"]} {target["metadata"]["name"]}: nothing to {operation["op"]} at '
                             f'{operation["path"]}') from None


def _operate(parent: Any, last: str, operation: Mapping[str, Any]) -> None:
    """Do one operation at the last part of its path."""
    op = operation['op']
    if op not in ('add', 'replace', 'remove'):
        raise InputError(f"k3s: operation '{op}' is not done here; expected add, replace or remove")
    if isinstance(parent, list):
        at = len(parent) if last == '-' and op == 'add' else int(last)
        if op == 'add':
            parent.insert(at, copy.deepcopy(operation['value']))
            return
        key: Any = at
    else:
        key = last
    if op != 'add':
        parent[key]
    if op == 'remove':
        del parent[key]
    else:
        parent[key] = copy.deepcopy(operation['value'])


def _set_namespace(objects: list[Object], namespace: str, _: Path) -> None:
    for each in objects:
        if each['kind'] == 'Namespace':
            each['metadata']['name'] = namespace
        elif KINDS[each['kind']].is_namespaced:
            each['metadata']['namespace'] = namespace


def _add_labels(objects: list[Object], entries: list[Mapping[str, Any]], file: Path) -> None:
    for entry in entries:
        if entry.keys() != {'pairs'}:
            raise InputError(f'{file}: labels: expected pairs alone')
        for each in objects:
            each['metadata'].setdefault('labels', {}).update(entry['pairs'])


def _replace(objects: list[Object], entries: list[Mapping[str, Any]], _: Path) -> None:
    for entry in entries:
        source = entry['source']
        value: Any = find(objects, source['kind'], source['name'])
        for part in source['fieldPath'].split('.'):
            value = value[part]
        for target in entry['targets']:
            found = find(objects, target['select']['kind'], target['select']['name'])
            for path in target['fieldPaths']:
                patched(found, [{'op': 'replace', 'path': '/' + path.replace('.', '/'), 'value': value}])


def _patch(objects: list[Object], entries: list[Mapping[str, Any]], file: Path) -> None:
    for entry in entries:
        if entry.keys() != {'target', 'patch'} or entry['target'].keys() != {'kind', 'name'}:
            raise InputError(f'{file}: patches: expected a target of kind and name, and a patch')
        found = find(objects, entry['target']['kind'], entry['target']['name'])
        patched(found, YAML(typ='safe', pure=True).load(entry['patch']))


STEPS: Mapping[str, Callable[[list[Object], Any, Path], None]] = {
    'namespace': _set_namespace, 'labels': _add_labels, 'replacements': _replace, 'patches': _patch}


def _documents(path: Path) -> list[Object]:
    try:
        return [each for each in YAML(typ='safe', pure=True).load_all(path.read_text('utf-8')) if each is not None]
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror}); expected a file of Kubernetes') from None
    except YAMLError as error:
        raise InputError(f'{path}: is not YAML ({error}); correct it') from None


def _only(documents: list[Object], file: Path) -> Object:
    if len(documents) != 1:
        raise InputError(f'{file}: has {len(documents)} documents; expected one')
    return documents[0]
