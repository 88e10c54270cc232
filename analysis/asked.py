"""What a run was to show, in words, from its scenario: the same on every page."""

from pathlib import Path

from pydantic import TypeAdapter

from analysis.formats import spell
from analysis.words import Tree, measured, primitives_used, seconds, security_said
from sim.values import Size


def asked(scenario: Tree, security: Tree | None) -> list[tuple[str, str]]:
    """Return what the run was to show, and what its manifest says that its cryptography claims, in words."""
    crypto, learning = scenario['crypto'], scenario['learning']
    wards = ', '.join(f'{ward["count"]} {kind} ({ward["beds"]} beds each)'
                      for kind, ward in scenario['wards'].items())
    nodes = ', '.join(f'{name} ({Path(node["profile"]).stem})' for name, node in scenario['edge']['nodes'].items())
    n = 1 if crypto['placement'] == 'sequential' else crypto['replicas']
    workers = 'one worker' if n == 1 else f'{n} workers'
    signed = 'signed' if crypto['sign_updates'] else 'not signed'
    keys = scenario['keys']
    drain = _time(scenario['drain'])
    outages = [f'{outage["target"]} from {_time(outage["begin"])} to {_time(outage["end"])}'
               for outage in scenario['outages']]
    return [
        ('Time', f'{measured(scenario)}; drain up to {drain}'),
        ('Wards', wards),
        ('Edge nodes', nodes),
        *([] if security is None else [('Cryptography', ', '.join(primitives_used(security)))]),
        ('Placement', f'{crypto["placement"]}, {workers}, prefetch {crypto["prefetch"]}'),
        ('Learning', 'none' if learning is None else _asked_learning(learning)),
        *([] if learning is None else [('Its keys', f'{crypto["learning_keys"]}; updates {signed}')]),
        ('Keys of devices', 'there, and last' if keys is None else _asked_keys(keys)),
        ('Outages', '; '.join(outages) or 'none'),
        *security_said(security),
    ]


def _asked_keys(keys: Tree) -> str:
    rotation = keys['rotation']
    rounds = f' or {rotation["rounds"]} rounds' if rotation['rounds'] else ''
    revoked = [f'{each["devices"]}{"" if each["index"] is None else " " + str(each["index"])} at {_time(each["at"])}'
               for each in keys['revocations']]
    return (f'new ones after {_time(rotation["every"])}{rounds}, overlap {_time(keys["overlap"])}'
            + (f'; revoked: {", ".join(revoked)}' if revoked else ''))


def _asked_learning(learning: Tree) -> str:
    model, update = (spell(TypeAdapter(Size).validate_python(learning[key]), 'B')
                     for key in ('model', 'update'))
    chosen, quorum = spell(learning['fraction'], '1'), spell(learning['quorum'], '1')
    clients, deadline = ', '.join(learning['clients']), _time(learning['deadline'])
    return (f'{learning["rounds"]} rounds on {clients}: {chosen} of them a round, quorum {quorum}, '
            f'deadline {deadline}, model {model}, update {update}')


def _time(text: str) -> str:
    return spell(seconds(text), 's')
