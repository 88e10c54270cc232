"""The AEADs: published cases, valid and invalid; round trips; and that nothing changed opens."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hil.crypto import lengths
from hil.crypto.aead import aead
from hil.crypto.errors import CryptoError
from hil.crypto.interfaces import Aead
from sim import wire
from sim.errors import InputError
from tests.crypto.vectors import Case, needs_vectors, wycheproof

per_cipher = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])

# The first valid case with a message of each cipher: key, nonce, associated data, message, ciphertext and tag.
CASES = {
    # RFC 8439 section 2.8.2.
    'ChaCha20-Poly1305': (
        '808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f', '070000004041424344454647',
        '50515253c0c1c2c3c4c5c6c7',
        (b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would "
         b'be it.').hex(),
        ('d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b'
         '2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b'
         '61161ae10b594f09e26a7e902ecbd0600691')),
    # McGrew and Viega, "The Galois/Counter Mode of Operation", test case 4.
    'AES-128-GCM': (
        'feffe9928665731c6d6a8f9467308308', 'cafebabefacedbaddecaf888', 'feedfacedeadbeeffeedfacedeadbeefabaddad2',
        ('d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657'
         'ba637b39'),
        ('42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac97'
         '3d58e0915bc94fbc3221a5db94fae95ae7121a47')),
}


def arguments(cipher: Aead, data: st.DataObject) -> tuple[bytes, bytes, bytes, bytes]:
    """Return a key, a nonce, a plaintext and associated data."""
    n_nonce = wire.AEAD_NONCE_BYTES[cipher.name]
    return (data.draw(st.binary(min_size=cipher.key_bytes, max_size=cipher.key_bytes)),
            data.draw(st.binary(min_size=n_nonce, max_size=n_nonce)),
            data.draw(st.binary(max_size=70)), data.draw(st.binary(max_size=40)))


def flipped(data: bytes, bit: int) -> bytes:
    """Return bytes with one bit changed."""
    return (int.from_bytes(data, 'big') ^ 1 << bit).to_bytes(len(data), 'big')


def opened(cipher: Aead, case: Case) -> bytes | None:
    """Return what a case opens to, or None if it is refused."""
    key, nonce, data, body, tag = (bytes.fromhex(case[name]) for name in ('key', 'iv', 'aad', 'ct', 'tag'))
    try:
        return cipher.open(key, nonce, body + tag, data)
    except CryptoError:
        return None


@needs_vectors
@pytest.mark.parametrize(('name', 'implementation', 'file', 'n_cases'), [
    ('Ascon-AEAD128', 'native', 'ascon_sp800_232_aead128_test.json', 252),
    ('Ascon-AEAD128', 'interpreted', 'ascon_sp800_232_aead128_test.json', 252),
    ('Ascon-128', 'interpreted', 'ascon128_test.json', 192),
    ('Ascon-128a', 'interpreted', 'ascon128a_test.json', 192)])
def test_every_published_case(name: str, implementation: str, file: str, n_cases: int) -> None:
    """Wycheproof: valid cases open to the message and are what sealing gives; invalid ones are refused."""
    if name != 'Ascon-AEAD128':
        pytest.importorskip('ascon', reason='the extra with the legacy cipher is not installed')
    cipher, cases = aead(name, implementation), wycheproof(file)
    for case in cases:
        expected = bytes.fromhex(case['msg']) if case['result'] == 'valid' else None
        assert opened(cipher, case) == expected, case['tcId']
        if expected is not None:
            key, nonce, data = (bytes.fromhex(case[part]) for part in ('key', 'iv', 'aad'))
            assert cipher.seal(key, nonce, expected, data).hex() == case['ct'] + case['tag'], case['tcId']
    assert len(cases) == n_cases
    assert {case['result'] for case in cases} == {'valid', 'invalid'}


@pytest.mark.parametrize('name', CASES)
def test_a_published_case(name: str) -> None:
    """One case of each cipher that has no file: sealed to the published bytes, and opened again."""
    key, nonce, data, plaintext, sealed = map(bytes.fromhex, CASES[name])
    cipher = aead(name)
    assert cipher.seal(key, nonce, plaintext, data) == sealed
    assert cipher.open(key, nonce, sealed, data) == plaintext


@per_cipher
@given(data=st.data())
def test_what_is_sealed_opens(cipher: Aead, data: st.DataObject) -> None:
    """Any message opens to itself, and is longer by the tag that the wire's table counts."""
    key, nonce, plaintext, associated = arguments(cipher, data)
    sealed = cipher.seal(key, nonce, plaintext, associated)
    assert cipher.open(key, nonce, sealed, associated) == plaintext
    assert len(sealed) == len(plaintext) + wire.AEAD_TAG_BYTES
    assert len(nonce) + len(sealed) == len(plaintext) + wire.AEAD_BYTES[cipher.name]


@per_cipher
@given(data=st.data())
def test_nothing_changed_opens(cipher: Aead, data: st.DataObject) -> None:
    """One bit of key, nonce, ciphertext, tag or associated data, whichever: refused."""
    key, nonce, plaintext, associated = arguments(cipher, data)
    parts = [key, nonce, cipher.seal(key, nonce, plaintext, associated), associated]
    which = data.draw(st.integers(0, 3 if associated else 2))
    parts[which] = flipped(parts[which], data.draw(st.integers(0, 8 * len(parts[which]) - 1)))
    with pytest.raises(CryptoError):
        cipher.open(parts[0], parts[1], parts[2], parts[3])


@pytest.mark.parametrize('n_bytes', [0, 20])
def test_no_bit_of_a_message_can_be_changed(cipher: Aead, n_bytes: int) -> None:
    """Every single bit of a short message's ciphertext and tag, of the nonce and of the data: each one is refused."""
    key, nonce, data = bytes(cipher.key_bytes), bytes(wire.AEAD_NONCE_BYTES[cipher.name]), b'data'
    sealed = cipher.seal(key, nonce, bytes(n_bytes), data)
    changed = [(flipped(nonce, bit), sealed, data) for bit in range(8 * len(nonce))]
    changed += [(nonce, flipped(sealed, bit), data) for bit in range(8 * len(sealed))]
    changed += [(nonce, sealed, flipped(data, bit)) for bit in range(8 * len(data))]
    for parts in changed:
        with pytest.raises(CryptoError):
            cipher.open(key, *parts)


def test_lengths_are_checked(cipher: Aead) -> None:
    """A key or a nonce of another length, and less than a tag, are refused and not filled up."""
    key, nonce = bytes(cipher.key_bytes), bytes(wire.AEAD_NONCE_BYTES[cipher.name])
    for wrong in (key[1:], key + b'1', b''):
        with pytest.raises(CryptoError, match=f'{cipher.name}: a key of {len(wrong)} bytes'):
            cipher.seal(wrong, nonce, b'', b'')
    for wrong in (nonce[1:], nonce + b'1', b''):
        with pytest.raises(CryptoError, match=f'{cipher.name}: a nonce of {len(wrong)} bytes'):
            cipher.open(key, wrong, bytes(16), b'')
    for n_bytes in (0, 15):
        with pytest.raises(CryptoError, match=f'{cipher.name}: a message of {n_bytes} bytes'):
            cipher.open(key, nonce, bytes(n_bytes), b'')


def test_the_standard_and_the_legacy_cipher_are_not_the_same() -> None:
    """Ascon-AEAD128 and Ascon-128a seal one message to different bytes: neither opens the other's."""
    pytest.importorskip('ascon', reason='the extra with the legacy cipher is not installed')
    new, old = aead('Ascon-AEAD128'), aead('Ascon-128a', 'interpreted')
    with pytest.raises(CryptoError):
        new.open(bytes(16), bytes(16), old.seal(bytes(16), bytes(16), b'message', b''), b'')


@pytest.mark.parametrize(('name', 'implementation'), [
    ('Ascon-128', 'native'), ('AES-128-GCM', 'interpreted'), ('none', 'native'), ('Ascon-AEAD128', 'fast')])
def test_an_unknown_cipher_is_told(name: str, implementation: str) -> None:
    """What there is not is an error of input that says what there is."""
    with pytest.raises(InputError, match=r"there is no .* AEAD '.*'; native are .*, interpreted are"):
        aead(name, implementation)


def test_another_version_of_the_legacy_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later version may be another cipher under the same name."""
    pytest.importorskip('ascon', reason='the extra with the legacy cipher is not installed')
    monkeypatch.setattr('importlib.metadata.version', lambda _: '1.0')
    with pytest.raises(InputError, match=r'version 0\.0\.9 of the package ascon, and 1\.0 is installed'):
        aead('Ascon-128', 'interpreted')


def test_each_cipher_has_its_lengths() -> None:
    """The tables of keys and nonces name the same ciphers, but for one that only a scenario knows."""
    assert set(wire.AEAD_NONCE_BYTES) - set(lengths.KEY_BYTES) == {'AES-256-GCM'}
    assert set(lengths.KEY_BYTES) <= set(wire.AEAD_NONCE_BYTES)
