"""What the cryptography of a scenario claims: suite, categories, and whether who gets the keys later reads the past.

A claim is made of what the flows do. A KEM that is in no flow protects nothing, and has no category; a key that goes to
a key pair which stays is no more forward secret than one that is there from the start. Forward secrecy is of long-lived
keys [1]: whoever gets a session key reads what that one sealed. Left out: implementations, passwords, people.

References
----------
.. [1] RFC 4949, "public-key forward secrecy".
"""

from collections.abc import Set
from typing import Any

from sim.flows import CERTIFIED, EPHEMERAL, FLOWS, FRESH_KEY, TRUST_OPTIONS
from sim.scenario import Scenario
from sim.suites import KEM_CATEGORY, PARTS, SIGNATURE_CATEGORY


def claims(scenario: Scenario) -> dict[str, Any]:
    """Return what a scenario's cryptography is and claims.

    Returns
    -------
    dict
        `suite` (None: no shipped one) and its parts; `key_category` and `signature_category` against a quantum computer
        (0: nothing; None: not used); `forward_secrecy`, in words that begin with yes or no.
    """
    crypto, keys = scenario.crypto, scenario.keys
    options = {option for device in scenario.devices.values() for option in TRUST_OPTIONS[device.trust]
               if keys is not None}
    establishes = EPHEMERAL in options or _is_learning_afresh(scenario)
    signs = CERTIFIED in options or (scenario.learning is not None and crypto.sign_updates) or (
        keys is not None and bool(keys.revocations))
    return {
        **{part: getattr(crypto, part) for part in ('suite', *PARTS)},
        'key_category': KEM_CATEGORY[crypto.kem] if establishes else None,
        'signature_category': SIGNATURE_CATEGORY[crypto.signature] if signs else None,
        'forward_secrecy': _forward_secrecy(scenario),
    }


def _is_learning_afresh(scenario: Scenario) -> bool:
    return scenario.learning is not None and scenario.crypto.learning_keys == 'per-round'


def _forward_secrecy(scenario: Scenario) -> str:
    if scenario.crypto.aead == 'none':
        return 'no, nothing is encrypted'
    said = _of_session_keys(scenario)
    if not _is_learning_afresh(scenario):
        return said
    return said + ('; yes for learning, each of its keys goes to a fresh key pair'
                   if _makes_key_pair('fl-update', {FRESH_KEY}) else
                   '; no for learning, its fresh keys go to key pairs that stay')


def _of_session_keys(scenario: Scenario) -> str:
    if scenario.keys is None:
        return 'no, keys are there from the start'
    names: dict[bool, list[str]] = {True: [], False: []}
    for name, device in scenario.devices.items():
        names[_makes_key_pair('rekey', TRUST_OPTIONS[device.trust])].append(name)
    if not names[False]:
        return 'yes, session keys are agreed on with fresh key pairs'
    if not names[True]:
        return 'no, session keys come of pre-shared keys'
    return (f'yes for {", ".join(names[True])}, session keys are agreed on with fresh key pairs; '
            f'no for {", ".join(names[False])}, session keys come of pre-shared keys')


def _makes_key_pair(flow: str, options: Set[str]) -> bool:
    return any(stage.name == 'kem.keygen' and (stage.when is None or stage.when in options) for stage in FLOWS[flow])
