"""Named suites: which primitives go together, as plain data that a simulation reads and hardware binds to functions.

A suite is as strong as the weakest of its primitives. Against a quantum computer the claim of a key establishment or a
signature is a category of NIST's: as hard to break as AES-128 (1), SHA-256 collisions (2), AES-192 (3) or AES-256 (5);
0 says that it claims nothing. All AEADs of the suites claim 128 bits against a classical adversary.

References
----------
.. [1] NIST, "Submission requirements and evaluation criteria for the post-quantum cryptography standardization
       process", 2016, 4.A.5.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

# The category that a primitive claims against a quantum computer [1].
KEM_CATEGORY = {
    'X25519': 0,
    'P-256': 0,
    'RSA-2048-OAEP': 0,
    'ML-KEM-512': 1,  # FIPS 203 §8
    'ML-KEM-768': 3,  # FIPS 203 §8
    'ML-KEM-1024': 5,  # FIPS 203 §8
    'X25519MLKEM768': 3,  # that of ML-KEM-768: draft-ietf-tls-ecdhe-mlkem §5, SP 800-56C §2
}
SIGNATURE_CATEGORY = {
    'ECDSA-P256': 0,
    'ML-DSA-44': 2,  # FIPS 204 table 1
    'ML-DSA-65': 3,  # FIPS 204 table 1
}


@dataclass(frozen=True)
class Suite:
    """One choice of primitives."""

    kem: str
    aead: str
    signature: str
    implementation: Literal['native', 'interpreted']  # of the AEAD: orders of magnitude lie between them


SUITES = {
    'classical': Suite('X25519', 'AES-128-GCM', 'ECDSA-P256', 'native'),
    'pqc-512': Suite('ML-KEM-512', 'Ascon-AEAD128', 'ML-DSA-44', 'native'),
    'pqc-768': Suite('ML-KEM-768', 'Ascon-AEAD128', 'ML-DSA-65', 'native'),
    # ML-DSA-65 is the strongest signature there is here: a signature need not hold for longer than it is used.
    'pqc-1024': Suite('ML-KEM-1024', 'Ascon-AEAD128', 'ML-DSA-65', 'native'),
    'hybrid': Suite('X25519MLKEM768', 'Ascon-AEAD128', 'ML-DSA-65', 'native'),
    # What `pip install ascon` gives: the cipher that came before the standard, by its default name, in plain Python.
    'interpreted': Suite('ML-KEM-768', 'Ascon-128', 'ML-DSA-65', 'interpreted'),
}
DEFAULT = 'pqc-768'
PARTS = ('kem', 'aead', 'signature', 'implementation')


def completed(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a choice with what is unsaid taken from its suite, and the suite that the parts then are.

    A part that is said counts for more than the suite. What comes out under `suite` is the suite with exactly these
    parts, or None: no choice bears the name of a suite that it is not.

    Raises
    ------
    ValueError
        If `suite` is None and a part is unsaid.
    """
    name = said.get('suite', DEFAULT)
    if name is None:
        unsaid = [part for part in PARTS if part not in said]
        if unsaid:
            raise ValueError(f"suite is null and {', '.join(unsaid)} unsaid; say it, or name "
                             f"one of {', '.join(SUITES)}")
    elif not isinstance(name, str) or name not in SUITES:
        return dict(said)  # the schema says which there are
    parts = {part: said[part] if part in said else getattr(SUITES[name], part) for part in PARTS}
    found = (known for known, suite in SUITES.items() if all(getattr(suite, part) == parts[part] for part in PARTS))
    return {**said, **parts, 'suite': next(found, None)}


def variant(primitive: str, implementation: str) -> str:
    """Return what a profile calls a primitive in an implementation: its name, marked unless it is native."""
    return primitive if implementation == 'native' else f'{primitive} ({implementation})'
