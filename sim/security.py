"""What the cryptography of a scenario claims: suite, categories, and whether who gets the keys later reads the past.

A claim is made of what the flows do. A KEM that is in no flow protects nothing, and has no category; a key that goes to
a key pair which stays is no more forward secret than one that is there from the start. Left out: implementations,
passwords, people.

References
----------
.. [1] RFC 4949, "public-key forward secrecy".
"""

from typing import Any

from sim.flows import FLOWS, FRESH_KEY
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
    crypto = scenario.crypto
    establishes = scenario.learning is not None and crypto.learning_keys == 'per-round'
    signs = scenario.learning is not None and crypto.sign_updates
    return {
        **{part: getattr(crypto, part) for part in ('suite', *PARTS)},
        'key_category': KEM_CATEGORY[crypto.kem] if establishes else None,
        'signature_category': SIGNATURE_CATEGORY[crypto.signature] if signs else None,
        'forward_secrecy': _forward_secrecy(crypto.aead, establishes=establishes),
    }


def _forward_secrecy(aead: str, *, establishes: bool) -> str:
    if aead == 'none':
        return 'no, nothing is encrypted'
    if not establishes:
        return 'no, all keys are there from the start'
    if not any(stage.name == 'kem.keygen' and stage.when in {None, FRESH_KEY} for stage in FLOWS['fl-update']):
        return ('no, telemetry runs under keys that are there from the start, and the fresh keys of learning go to key '
                'pairs that stay')
    return ('yes for learning, each of its keys goes to a fresh key pair; no for telemetry, whose keys are there from '
            'the start')
