"""All KEMs: what one side encapsulates the other one decapsulates, and nothing malformed gets through."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hil.crypto.dhkem import P256_KEM, X25519_KEM, DhKem
from hil.crypto.diffie_hellman import X25519
from hil.crypto.errors import CryptoError
from hil.crypto.interfaces import Kem
from hil.crypto.providers import Provider, choose
from hil.crypto.rsa_oaep import PADDING, RsaOaep
from hil.crypto.suites import kem
from sim.wire import KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_KEY_BYTES

POST_QUANTUM = ('ML-KEM-512', 'ML-KEM-768', 'ML-KEM-1024', 'X25519MLKEM768')
NAMES = ('X25519', 'P-256', 'RSA-2048-OAEP', *POST_QUANTUM)


@pytest.fixture(params=NAMES)
def any_kem(request: pytest.FixtureRequest) -> Kem:
    """Each KEM in turn, by the provider that pip installs."""
    return kem(request.param, choose('pqcrypto'))


def test_both_sides_come_to_one_secret(any_kem: Kem) -> None:
    """Twice with one key pair: two secrets of at least 256 bits, each the same on both sides."""
    pair = any_kem.generate()
    first, second = any_kem.encapsulate(pair.public), any_kem.encapsulate(pair.public)
    for each in (first, second):
        assert any_kem.decapsulate(pair.private, each.ciphertext) == each.secret
        assert len(each.secret) == (64 if any_kem.name == 'X25519MLKEM768' else 32)
    assert first.secret != second.secret
    assert first.ciphertext != second.ciphertext


def test_keys_and_ciphertexts_are_as_long_as_the_model_says(any_kem: Kem) -> None:
    """What the simulator counts on the wire is what is sent."""
    pair = any_kem.generate()
    assert len(pair.public) == KEM_PUBLIC_KEY_BYTES[any_kem.name]
    assert len(any_kem.encapsulate(pair.public).ciphertext) == KEM_CIPHERTEXT_BYTES[any_kem.name]


def test_the_model_knows_no_other_kem() -> None:
    """The tables of the wire name exactly the KEMs that there are."""
    assert set(KEM_PUBLIC_KEY_BYTES) == set(KEM_CIPHERTEXT_BYTES) == set(NAMES)


def test_another_key_gives_no_secret(any_kem: Kem) -> None:
    """Whoever has another private key is refused, or gets a secret that nobody else has."""
    ours, theirs = any_kem.generate(), any_kem.generate()
    sent = any_kem.encapsulate(ours.public)
    assert secret_or_none(any_kem, theirs.private, sent.ciphertext) != sent.secret


@pytest.mark.parametrize('at', [0, 1, -2, -1])
@pytest.mark.parametrize('bit', [0x01, 0x80])
def test_a_changed_ciphertext_gives_no_secret(any_kem: Kem, at: int, bit: int) -> None:
    """A bit at either end: refused, or another secret. X25519 ignores the last bit, and its hash does not."""
    if any_kem.name == 'X25519MLKEM768' and (at, bit) == (-1, 0x80):
        pytest.skip('its secret is TLS 1.3 raw: the transcript that it is derived with holds the ciphertext')
    pair = any_kem.generate()
    sent = any_kem.encapsulate(pair.public)
    changed = bytearray(sent.ciphertext)
    changed[at] ^= bit
    assert secret_or_none(any_kem, pair.private, bytes(changed)) != sent.secret


def secret_or_none(any_kem: Kem, private: object, ciphertext: bytes) -> bytes | None:
    """Return what a ciphertext carries for a key, or None if it is refused."""
    try:
        return any_kem.decapsulate(private, ciphertext)
    except CryptoError:
        return None


def test_what_has_another_length_is_refused(any_kem: Kem) -> None:
    """Public keys and ciphertexts that are empty, short or long are refused, not cut and not filled up."""
    pair = any_kem.generate()
    sent = any_kem.encapsulate(pair.public)
    for wrong in (b'', pair.public[:-1], pair.public + b'\0'):
        said = f'a public key of {len(wrong)} bytes' if any_kem.name in POST_QUANTUM else 'the public key is'
        with pytest.raises(CryptoError, match=f'^{any_kem.name}: {said}'):
            any_kem.encapsulate(wrong)
    for wrong in (b'', sent.ciphertext[:-1], sent.ciphertext + b'\0'):
        with pytest.raises(CryptoError):
            any_kem.decapsulate(pair.private, wrong)


@pytest.mark.parametrize('private', [None, b'', bytes(2400), 'key', X25519PrivateKey.generate(),
                                     ec.generate_private_key(ec.SECP384R1())], ids=lambda key: type(key).__name__)
def test_a_private_key_of_another_kind_is_refused(any_kem: Kem, private: object) -> None:
    """Whatever is not a key of this KEM, also a key of another one, is refused before it is used."""
    if any_kem.name == 'X25519' and isinstance(private, X25519PrivateKey):
        pytest.skip('this one is of its kind')
    ciphertext = any_kem.encapsulate(any_kem.generate().public).ciphertext
    with pytest.raises(CryptoError, match='private key'):
        any_kem.decapsulate(private, ciphertext)


@pytest.mark.parametrize(('which', 'private', 'public', 'sent', 'secret'), [
    (X25519_KEM, '4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8',
     '3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d',
     '37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431',
     'fe0e18c9f024ce43799ae393c7e8fe8fce9d218875e8227b0187c04e7d2ea1fc'),
    (P256_KEM, 'f3ce7fdae57e1a310d87f1ebbde6f328be0a99cdbcadf4d6589cf29de4b8ffd2',
     ('04fe8c19ce0905191ebc298a9245792531f26f0cece2460639e8bc39cb7f706a826a779b4cf969b8a0e539c7f62fb3d30ad6aa8f80e30f1d12'
     '8aafd68a2ce72ea0'),
     ('04a92719c6195d5085104f469a8b9814d5838ff72b60501e2c4466e5e67b325ac98536d7b61a1af4b78e5b7f951c0900be863c403ce65c9bfc'
     'b9382657222d18c4'),
     'c0d26aeab536609a572b07695d933b589dcf363ff9d93c93adea537aeabb8cb8')], ids=['X25519', 'P-256'])
def test_published_answer_of_diffie_hellman_as_a_kem(
        which: DhKem, private: str, public: str, sent: str, secret: str) -> None:
    """RFC 9180 appendix A.1.1 and A.3.1: the private key's public one, and what the encapsulated key carries."""
    key: object = (X25519PrivateKey.from_private_bytes(bytes.fromhex(private)) if which is X25519_KEM
                   else ec.derive_private_key(int(private, 16), ec.SECP256R1()))
    assert which.group.public(key).hex() == public
    assert which.decapsulate(key, bytes.fromhex(sent)).hex() == secret


@pytest.mark.parametrize('public', [bytes(32), b'\1' + bytes(31), b'\xec' + b'\xff' * 30 + b'\x7f'])
def test_a_key_of_small_order_is_refused(public: bytes) -> None:
    """RFC 7748 section 6.1: points that make every secret zero, whoever multiplies them."""
    with pytest.raises(CryptoError, match='small order'):
        X25519_KEM.encapsulate(public)
    with pytest.raises(CryptoError, match='small order'):
        X25519_KEM.decapsulate(X25519_KEM.generate().private, public)


@pytest.mark.parametrize('public', [b'\4' + bytes(64), b'\0', b'\2' + bytes(31) + b'\5'])
def test_a_point_that_is_no_key_is_refused(public: bytes) -> None:
    """Off the curve, at infinity, or in the compressed form that we do not send."""
    with pytest.raises(CryptoError, match='P-256'):
        P256_KEM.encapsulate(public)


def test_hybrid_is_both_in_the_order_of_the_draft(provider: Provider) -> None:
    """Each half decapsulated by itself: ML-KEM's secret stands first, that of X25519 behind it."""
    hybrid, half = kem('X25519MLKEM768', provider), kem('ML-KEM-768', provider)
    pair = hybrid.generate()
    sent = hybrid.encapsulate(pair.public)
    post_quantum, classical = (getattr(pair.private, name) for name in ('post_quantum', 'classical'))
    assert half.decapsulate(post_quantum, sent.ciphertext[:1088]) == sent.secret[:32]
    assert X25519().exchange(classical, sent.ciphertext[1088:]) == sent.secret[32:]
    assert X25519().public(classical) == pair.public[1184:]
    assert hybrid.provider == provider.name


def test_rsa_refuses_other_keys_and_other_secrets() -> None:
    """A key of another length or kind, and a ciphertext that carries something else than 32 bytes."""
    baseline = RsaOaep()
    private = rsa.generate_private_key(65537, 2048)
    with pytest.raises(CryptoError, match='32 bytes'):
        baseline.decapsulate(private, private.public_key().encrypt(b'short', PADDING))
    others = (rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP256R1()))
    for other in others:
        public = other.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        with pytest.raises(CryptoError, match='RSA with 2048 bits'):
            baseline.encapsulate(public)
