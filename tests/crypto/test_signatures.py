"""Signatures: published cases of ML-DSA, round trips, and that nothing changed verifies."""

import base64

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hil.crypto.errors import CryptoError
from hil.crypto.interfaces import Signature
from hil.crypto.liboqs import LiboqsMlDsa
from hil.crypto.providers import Provider, choose
from hil.crypto.signatures import CryptographyMlDsa, EcdsaP256, cryptography_signatures
from hil.crypto.suites import signature
from sim.wire import SIGNATURE_BYTES, SIGNATURE_PUBLIC_KEY_BYTES
from tests.crypto.constants import MLDSA_44
from tests.crypto.vectors import Case, needs_vectors, wycheproof

NAMES = ('ML-DSA-44', 'ML-DSA-65', 'ECDSA-P256')


@pytest.fixture(params=NAMES)
def signer(request: pytest.FixtureRequest) -> Signature:
    """Each signature in turn, by what pip installs."""
    return signature(request.param, choose('pqcrypto'))


def verifies(signer: Signature, public: bytes, message: bytes, signed: bytes, context: bytes = b'') -> bool:
    """Return whether a signature is taken."""
    try:
        if context and isinstance(signer, CryptographyMlDsa):
            signer.verify(public, message, signed, context)
        else:
            signer.verify(public, message, signed)
    except CryptoError:
        return False
    return True


def verdict(signer: Signature, case: Case) -> bool:
    """Return whether the signature of a case is taken."""
    public, message, signed = (bytes.fromhex(case[name]) for name in ('publicKey', 'msg', 'sig'))
    return verifies(signer, public, message, signed, bytes.fromhex(case.get('ctx', '')))


@needs_vectors
@pytest.mark.parametrize(('level', 'n_valid', 'n_cases'), [('ML-DSA-44', 77, 180), ('ML-DSA-65', 79, 210)])
def test_every_published_verification(provider: Provider, level: str, n_valid: int, n_cases: int) -> None:
    """Wycheproof: each valid signature is taken and each invalid one refused, with and without a context."""
    signer, cases = provider.signatures[level], wycheproof(f'mldsa_{level.removeprefix("ML-DSA-")}_verify_test.json')
    if isinstance(signer, LiboqsMlDsa):  # has no context here: the protocol uses none
        cases = [case for case in cases if not case.get('ctx')]
    for case in cases:
        assert verdict(signer, case) == (case['result'] == 'valid'), case['tcId']
    if isinstance(signer, CryptographyMlDsa):
        assert sum(case['result'] == 'valid' for case in cases) == n_valid
        assert len(cases) == n_cases


def test_a_published_verification() -> None:
    """One case, for clones without the file."""
    public, message, signed = map(base64.b64decode, MLDSA_44)
    signer = cryptography_signatures()['ML-DSA-44']
    assert verifies(signer, public, message, signed)
    assert not verifies(signer, public, message + b'.', signed)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=st.binary(max_size=100), data=st.data())
def test_what_is_signed_verifies_and_nothing_changed_does(
        signer: Signature, message: bytes, data: st.DataObject) -> None:
    """Any message; then one bit of the key, the message or the signature changed: refused."""
    pair = signer.generate()
    parts = [pair.public, message, signer.sign(pair.private, message)]
    assert verifies(signer, *parts)
    which = data.draw(st.sampled_from([0, 1, 2] if message else [0, 2]))
    bit = data.draw(st.integers(0, 8 * len(parts[which]) - 1))
    changed = bytearray(parts[which])
    changed[bit // 8] ^= 1 << bit % 8
    parts[which] = bytes(changed)
    assert not verifies(signer, *parts)


def test_another_key_does_not_verify(signer: Signature) -> None:
    """A signature is refused under the key of somebody else."""
    ours, theirs = signer.generate(), signer.generate()
    assert not verifies(signer, theirs.public, b'message', signer.sign(ours.private, b'message'))


def test_keys_and_signatures_are_as_long_as_the_model_says(signer: Signature) -> None:
    """What the simulator counts on the wire is what is sent, however short the numbers of a signature turn out."""
    pair = signer.generate()
    assert len(pair.public) == SIGNATURE_PUBLIC_KEY_BYTES[signer.name]
    assert {len(signer.sign(pair.private, bytes([i]))) for i in range(30)} == {SIGNATURE_BYTES[signer.name]}


def test_the_model_knows_no_other_signature() -> None:
    """The tables of the wire name exactly the signatures that there are."""
    assert set(SIGNATURE_BYTES) == set(SIGNATURE_PUBLIC_KEY_BYTES) == set(NAMES)


def test_what_has_another_length_is_refused(signer: Signature) -> None:
    """Signatures and keys that are empty, short or long."""
    pair = signer.generate()
    signed = signer.sign(pair.private, b'message')
    for wrong in (b'', signed[:-1], signed + b'\0'):
        assert not verifies(signer, pair.public, b'message', wrong)
    for wrong in (b'', pair.public[:-1], pair.public + b'\0'):
        assert not verifies(signer, wrong, b'message', signed)


def test_a_signature_of_zeros_is_refused(signer: Signature) -> None:
    """Zero is no number of an ECDSA signature (FIPS 186-5, 6.4.2), and no ML-DSA signature either."""
    pair = signer.generate()
    assert not verifies(signer, pair.public, b'message', bytes(SIGNATURE_BYTES[signer.name]))


@pytest.mark.parametrize('private', [None, b'', bytes(2560)], ids=['none', 'empty', 'bytes'])
def test_a_private_key_of_another_kind_is_refused(signer: Signature, private: object) -> None:
    """Whatever is not a key of this signature is refused before it is used."""
    with pytest.raises(CryptoError, match='private key'):
        signer.sign(private, b'message')
    other = EcdsaP256() if signer.name != 'ECDSA-P256' else cryptography_signatures()['ML-DSA-44']
    with pytest.raises(CryptoError, match='private key'):
        signer.sign(other.generate().private, b'message')


def test_a_context_separates_signatures() -> None:
    """FIPS 204 section 5.2: what is signed in one context is refused in another; one of 256 bytes is an error."""
    signer = cryptography_signatures()['ML-DSA-44']
    assert isinstance(signer, CryptographyMlDsa)
    pair = signer.generate()
    signed = signer.sign(pair.private, b'message', b'enrol')
    signer.verify(pair.public, b'message', signed, b'enrol')
    for context in (b'', b'rekey', bytes(256)):
        with pytest.raises(CryptoError):
            signer.verify(pair.public, b'message', signed, context)
    with pytest.raises(CryptoError, match='256 bytes'):
        signer.sign(pair.private, b'message', bytes(256))
