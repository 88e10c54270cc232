"""The suites of `sim.suites`, bound to functions; and every primitive by its name."""

from dataclasses import dataclass

from hil.crypto.aead import aead
from hil.crypto.dhkem import P256_KEM, X25519_KEM
from hil.crypto.hybrid import Hybrid
from hil.crypto.interfaces import Aead, Kem, Signature
from hil.crypto.providers import Provider
from hil.crypto.rsa_oaep import RsaOaep
from hil.crypto.signatures import EcdsaP256
from sim.errors import InputError
from sim.suites import SUITES, Suite
from sim.wire import AEAD_NONCE_BYTES


@dataclass(frozen=True)
class BoundSuite:
    """A suite whose primitives can be called."""

    name: str
    suite: Suite
    kem: Kem
    aead: Aead
    signature: Signature


def bind(name: str, provider: Provider) -> BoundSuite:
    """Return a suite by its name, with the post-quantum work done by one provider.

    Raises
    ------
    InputError
        If there is no such suite, or the provider lacks one of its primitives.
    """
    if name not in SUITES:
        raise InputError(f"there is no suite '{name}'; expected one of {', '.join(SUITES)}")
    suite = SUITES[name]
    return BoundSuite(name, suite, kem(suite.kem, provider), aead(suite.aead, suite.implementation),
                      signature(suite.signature, provider))


def warm_up(bound: BoundSuite) -> None:
    """Use each primitive once, so that no first message waits for a compiler or a library."""
    key, nonce = bytes(bound.aead.key_bytes), bytes(AEAD_NONCE_BYTES[bound.aead.name])
    bound.aead.open(key, nonce, bound.aead.seal(key, nonce, b'', b''), b'')
    kem = bound.kem.generate()
    bound.kem.decapsulate(kem.private, bound.kem.encapsulate(kem.public).ciphertext)
    signer = bound.signature.generate()
    bound.signature.verify(signer.public, b'', bound.signature.sign(signer.private, b''))


def kem(name: str, provider: Provider) -> Kem:
    """Return a KEM by its name.

    Raises
    ------
    InputError
        If there is none, or the provider lacks it.
    """
    classical: dict[str, Kem] = {each.name: each for each in (X25519_KEM, P256_KEM, RsaOaep())}
    if name in classical:
        return classical[name]
    if name == 'X25519MLKEM768':
        return Hybrid(kem('ML-KEM-768', provider))
    if name not in provider.kems:
        raise InputError(f"{provider.name} {provider.version} has no KEM '{name}'; it has {', '.join(provider.kems)}, "
                         f'and there are {", ".join(classical)} beside it')
    return provider.kems[name]


def signature(name: str, provider: Provider) -> Signature:
    """Return a signature by its name.

    Raises
    ------
    InputError
        If there is none, or the provider lacks it.
    """
    if name == 'ECDSA-P256':
        return EcdsaP256()
    if name not in provider.signatures:
        raise InputError(f"{provider.name} {provider.version} has no signature '{name}'; it has "
                         f'{", ".join(provider.signatures)}, and there is ECDSA-P256 beside it')
    return provider.signatures[name]
