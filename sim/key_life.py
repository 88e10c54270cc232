"""What the life of keys asks of a Model: a route for each exchange, and the plan that the key authority follows.

The exchanges are rows of `sim.flows`, the sizes of their messages come from `sim.wire`; `sim.key_authority` is the
controller. A place is whoever opens devices' messages: each crypto worker, and the server. Left out: the hashes that
derive keys (microseconds, beside milliseconds of signatures; nobody published them for small devices), and the places'
own keys.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim import wire
from sim.model import KeyPlan, RevocationPlan
from sim.routing import FlowSizes

if TYPE_CHECKING:
    from sim.building import ModelBuilder
    from sim.scenario import Crypto, Keys, Scenario
    from sim.ways import Population, Ways


def add_keys(builder: ModelBuilder, ways: Ways, scenario: Scenario, keys: Keys, population: Population) -> KeyPlan:
    """Add the routes of all exchanges and return the key authority's plan."""
    rows, rotation = population.entity_rows, keys.rotation
    places = [name for name in rows if name not in scenario.devices]
    members = scenario.learning.clients if scenario.learning and scenario.crypto.learning_keys == 'group' else ()
    enrolled = {revocation.devices for revocation in keys.revocations if revocation.enrol_again is not None}
    launching = {'rekey': scenario.devices, 'key-activate': scenario.devices, 'enrol': enrolled,
                 'group-key': members, 'key-record': places}
    for flow, names in launching.items():
        for name in names:
            device = scenario.devices.get(name)
            location = ('keys',) if device is None else ('devices', name)
            messages = key_messages(scenario.crypto, 'signed' if device is None else device.trust)
            ways.add(builder.stream(flow, flow), flow, name, _sizes(keys, messages), location)
    revocations = [_add_revocation(builder, ways, scenario, number, rows, places)
                   for number in range(len(keys.revocations))]
    return KeyPlan(
        devices=_joined(rows, scenario.devices), places=_joined(rows, places), members=_joined(rows, members),
        every_s=rotation.every, rounds=rotation.rounds or 0, usage_bytes=rotation.usage,
        usage_check_s=rotation.usage_check, overlap_s=keys.overlap, expiry_s=keys.expiry, deadline_s=keys.deadline,
        retry_s=keys.retry, ends_s=scenario.duration,
        revocations=tuple(revocations))


def _add_revocation(builder: ModelBuilder, ways: Ways, scenario: Scenario, number: int,
                    rows: Mapping[str, NDArray[np.int64]], places: list[str]) -> RevocationPlan:
    """Add the way of a notice: it is as long as the names of those that it revokes, so it is a stream of its own."""
    assert scenario.keys is not None
    revocation = scenario.keys.revocations[number]
    devices = rows[revocation.devices]
    if revocation.index is not None:
        devices = devices[[revocation.index]]
    again_s = math.inf if revocation.enrol_again is None else revocation.enrol_again
    stream = f'revoke-notice/{number}'
    messages = {'revoke-notice': wire.revoke_notice_bytes(scenario.crypto.signature, devices.size)}
    sizes = _sizes(scenario.keys, messages)
    ways.add(builder.stream('revoke', 'revoke'), 'revoke', revocation.devices, sizes, ('keys', 'revocations', number))
    for name in places:
        ways.add(builder.stream(stream, 'revoke-notice'), 'revoke-notice', name, sizes, ('keys', 'revocations', number))
    return RevocationPlan(stream, devices, revocation.at, again_s)


def key_messages(crypto: Crypto, trust: wire.Trust) -> dict[str, int]:
    """Return the bytes of every message of key life for devices whose keys rest on `trust`, by the names of flows."""
    kem, signature, aead = crypto.kem, crypto.signature, crypto.aead
    return {
        'enrol-request': wire.enrol_request_bytes(signature),
        'enrol-answer': wire.enrol_answer_bytes(signature),
        'rekey-request': wire.rekey_request_bytes(kem, signature, trust),
        'rekey-answer': wire.rekey_answer_bytes(kem, signature, trust),
        'rekey-confirm': wire.rekey_confirm_bytes(),
        'key-record': wire.key_record_bytes(aead),
        'key-acknowledge': wire.key_acknowledge_bytes(aead),
        'key-activate': wire.key_activate_bytes(),
        'group-key': wire.group_key_bytes(aead),
    }


def _sizes(keys: Keys, messages: Mapping[str, int]) -> FlowSizes:
    amounts = {'confirmation': wire.CONFIRMATION_BYTES, 'record': wire.KEY_RECORD_BYTES,
               'acknowledgement': wire.ACKNOWLEDGED_BYTES}
    return FlowSizes(amounts, keys.priority, math.inf, messages)


def _joined(rows: Mapping[str, NDArray[np.int64]], names: Iterable[str]) -> NDArray[np.int64]:
    return np.sort(np.concatenate([np.empty(0, np.int64), *(rows[name] for name in names)]))
