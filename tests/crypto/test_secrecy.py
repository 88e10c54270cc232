"""No secret is in what is printed: not in the text of any object, nor of any error."""

import pickle
import traceback
from collections.abc import Iterator

import pytest

from hil.crypto.errors import CryptoError
from hil.crypto.interfaces import Aead, Kem, KeyPair, Signature
from hil.crypto.providers import Provider, choose
from hil.crypto.sealing import Direction, Opened, OpeningKey, SealingKey
from hil.crypto.suites import kem, signature
from sim.wire import AEAD_NONCE_BYTES, KEM_CIPHERTEXT_BYTES, SIGNATURE_BYTES

KEY = b'0123456789abcdefghijklmnopqrstuv'


def spellings(secret: bytes) -> Iterator[str]:
    """Yield what a secret, or its first part, would look like in a text."""
    for part in (secret[:64], secret[:12]):
        yield from (part.hex(), repr(part)[2:-1], repr(list(part))[1:-1], str(int.from_bytes(part, 'big')))


def assert_hidden(text: str, *secrets: object) -> None:
    """Assert that no secret that is bytes is in a text."""
    for secret in secrets:
        if isinstance(secret, bytes) and len(secret) >= 12:
            assert not [found for found in spellings(secret) if found in text]


def refusal(function: object, *arguments: object) -> str:
    """Return all that is printed of an error, its causes included."""
    assert callable(function)
    with pytest.raises(CryptoError) as refused:
        function(*arguments)
    return ''.join(traceback.format_exception(refused.value)) + repr(refused.value.args)


def kems(provider: Provider) -> list[Kem]:
    """Return the KEMs that a provider can do."""
    return [kem(name, provider) for name in KEM_CIPHERTEXT_BYTES if 'ML-KEM' not in name or name in provider.kems]


def test_key_encapsulation_shows_no_secret(provider: Provider) -> None:
    """Key pairs and encapsulations, as text and in containers, and the errors of what is malformed."""
    for each in kems(provider):
        pair = each.generate()
        sent = each.encapsulate(pair.public)
        private = raw(pair)
        for text in (repr(pair), str(pair), f'{[pair, sent]}', repr(sent), repr(each), repr(provider)):
            assert_hidden(text, private, sent.secret)
        assert 'private' not in repr(pair)
        assert 'secret' not in repr(sent)
        for text in (refusal(each.decapsulate, pair.private, b'short'), refusal(each.encapsulate, b'short'),
                     refusal(each.decapsulate, KEY, sent.ciphertext)):
            assert_hidden(text, private, sent.secret, KEY)


def raw(pair: KeyPair) -> bytes:
    """Return a private key as bytes, as far as it gives them."""
    if isinstance(pair.private, bytes):
        return pair.private
    export = getattr(pair.private, 'private_bytes_raw', bytes)
    found: bytes = export()
    return found


@pytest.mark.parametrize('name', SIGNATURE_BYTES)
def test_signatures_show_no_secret(name: str) -> None:
    """Key pairs as text, and the errors of a wrong key and of a signature that does not verify."""
    signer: Signature = signature(name, choose('pqcrypto'))
    pair = signer.generate()
    assert_hidden(repr(pair), raw(pair))
    assert_hidden(refusal(signer.sign, KEY, b'message of a patient'), KEY, b'message of a patient')
    assert_hidden(refusal(signer.verify, pair.public, b'name of a patient', b'no signature'), b'name of a patient')


def test_ciphers_show_neither_key_nor_plaintext(cipher: Aead) -> None:
    """The errors of a wrong key, nonce, length and tag."""
    key, nonce, plaintext = KEY[:cipher.key_bytes], bytes(AEAD_NONCE_BYTES[cipher.name]), b'name of a patient'
    sealed = cipher.seal(key, nonce, plaintext, b'')
    for text in (refusal(cipher.open, key, nonce, sealed[:-1] + b'?', b''), refusal(cipher.open, key, nonce, b'', b''),
                 refusal(cipher.seal, key[1:], nonce, plaintext, b''), refusal(cipher.seal, key, b'', plaintext, b''),
                 repr(cipher)):
        assert_hidden(text, key, key[1:], plaintext)


def test_sealing_shows_neither_keys_nor_plaintext(cipher: Aead) -> None:
    """Both keys, sealed and opened messages, what they are made of, and their errors."""
    sender = SealingKey(cipher, KEY, Direction.UP, 'pump-1')
    receiver = OpeningKey(cipher, KEY, Direction.UP, 'pump-1')
    plaintext = b'name of a patient'
    message = sender.seal(plaintext, b'data')
    opened = receiver.open(message, b'data')
    secrets = KEY, sender._key, plaintext
    for text in (repr(sender), repr(receiver), repr(message), repr(opened), repr(receiver._boots), str([opened]),
                 refusal(receiver.open, message, b'other'),
                 refusal(SealingKey, cipher, KEY[:15], Direction.UP, 'pump-1')):
        assert_hidden(text, *secrets, KEY[:15])
    with pytest.raises(TypeError) as refused:
        pickle.dumps(sender)
    assert_hidden(str(refused.value), *secrets)
    assert repr(Opened(plaintext, is_duplicate=True)) == 'Opened(is_duplicate=True)'
