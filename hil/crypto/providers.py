"""Who does the post-quantum work of a run: one provider for all levels, or their costs could not be compared.

By itself liboqs is taken where it is, because it is the fastest; else pqcrypto, which pip installs with all levels. The
package cryptography may be named; it has no ML-KEM-512. ML-DSA comes from liboqs if that is the provider, and from
cryptography otherwise: pqcrypto signs ten times slower than both. All that is not post-quantum is
cryptography's.
"""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field

from hil.crypto import liboqs
from hil.crypto.interfaces import Kem, Signature
from hil.crypto.mlkem import cryptography_kems, pqcrypto_kems
from hil.crypto.signatures import cryptography_signatures
from sim.errors import InputError

NAMES = ('liboqs', 'pqcrypto', 'cryptography')


@dataclass(frozen=True)
class Provider:
    """A library that does ML-KEM, and what does ML-DSA beside it."""

    name: str
    version: str
    reason: str  # why it and no other
    kems: Mapping[str, Kem] = field(repr=False)
    signatures: Mapping[str, Signature] = field(repr=False)

    def describe(self) -> dict[str, str]:
        """Return what a result says of who did the work."""
        classical = f'cryptography {importlib.metadata.version("cryptography")}'
        signer = next(iter(self.signatures.values())).provider
        return {'kem_provider': f'{self.name} {self.version}', 'kem_provider_reason': self.reason,
                'signature_provider': f'{self.name} {self.version}' if signer == self.name else classical,
                'classical_provider': classical}


def choose(name: str | None = None) -> Provider:
    """Return the provider of a run.

    Parameters
    ----------
    name
        One of `NAMES`, or None for liboqs if it is there and pqcrypto if not.

    Raises
    ------
    InputError
        If the one that was named is unknown or not there.
    """
    if name is None:
        try:
            return _liboqs('it is installed, and the fastest')
        except liboqs.Unusable as why:
            return _pip('pqcrypto', f'no liboqs: {why}')
    if name == 'liboqs':
        try:
            return _liboqs('asked for by name')
        except liboqs.Unusable as why:
            raise InputError(f"the provider 'liboqs' cannot be used: {why}; choose another one or install it") from None
    if name in NAMES:
        return _pip(name, 'asked for by name')
    raise InputError(f"there is no provider '{name}'; expected one of {', '.join(NAMES)}")


def _liboqs(reason: str) -> Provider:
    found = liboqs.find()
    kems = found.kems()
    if not kems:
        raise liboqs.Unusable(f'liboqs {found.version} was built without ML-KEM')
    return Provider('liboqs', found.version, reason, kems, found.signatures() or cryptography_signatures())


def _pip(name: str, reason: str) -> Provider:
    kems = pqcrypto_kems() if name == 'pqcrypto' else cryptography_kems()
    return Provider(name, importlib.metadata.version(name), reason, kems, cryptography_signatures())
