"""Ascon-AEAD128 as its standard writes it, in plain Python: what `hil.crypto.ascon_kernel` is held to.

The state is five 64-bit words. Bytes become words in little-endian order. Sealing goes::

    S = IV || key || nonce;  12 rounds;  S ^= 0 || key
    each block of associated data, the last one padded:  S[0:2] ^= block;  8 rounds    (none if there is no data)
    S ^= 1 << 319, which separates the domains
    each block of plaintext, the last one padded:  S[0:2] ^= block, the ciphertext;  8 rounds, not at the end
    S ^= 0 || key || 0;  12 rounds;  tag = S[3:5] ^ key

Not here: truncated tags, nonce masking, hashing. Python does not run in constant time; this form is for reading,
for tests and as the interpreted cipher of a timing, not for secrets that others may time.

References
----------
.. [1] NIST SP 800-232, "Ascon-Based Lightweight Cryptography Standards for Constrained Devices", 2025.
"""

import hmac

from hil.crypto.errors import CryptoError
from hil.crypto.lengths import check_lengths
from sim.wire import AEAD_TAG_BYTES

NAME = 'Ascon-AEAD128'
RATE_BYTES = 16  # [1] section 4.1: what a block takes of the state
IV = 0x00001000808C0001  # [1] section 4.1.1
DOMAIN = 1 << 63  # [1] section 4.1.1: the last of the 320 bits
# [1] section 3.2, of 12 rounds; 8 rounds have the last eight.
ROUND_CONSTANTS = (0xF0, 0xE1, 0xD2, 0xC3, 0xB4, 0xA5, 0x96, 0x87, 0x78, 0x69, 0x5A, 0x4B)
MASK = (1 << 64) - 1

State = list[int]


def seal(key: bytes, nonce: bytes, plaintext: bytes, associated_data: bytes) -> bytes:
    """Return ciphertext and tag; [1] algorithm 3.

    Raises
    ------
    CryptoError
        If the key or the nonce has the wrong length.
    """
    check_lengths(NAME, len(key), len(nonce))
    state = _begin(key, nonce, associated_data)
    sealed = bytearray()
    blocks = _blocks(plaintext)
    for block in blocks[:-1]:
        _absorb(state, block)
        sealed += _rate(state)
        permute(state, 8)
    _absorb(state, _pad(blocks[-1]))
    sealed += _rate(state)[:len(blocks[-1])]
    return bytes(sealed) + _tag(state, key)


def open_(key: bytes, nonce: bytes, sealed: bytes, associated_data: bytes) -> bytes:
    """Return the plaintext; [1] algorithm 4.

    Raises
    ------
    CryptoError
        If the tag is wrong, or a length is.
    """
    check_lengths(NAME, len(key), len(nonce), len(sealed))
    ciphertext, tag = sealed[:-AEAD_TAG_BYTES], sealed[-AEAD_TAG_BYTES:]
    state = _begin(key, nonce, associated_data)
    plaintext = bytearray()
    blocks = _blocks(ciphertext)
    for block in blocks[:-1]:
        plaintext += _xor(_rate(state), block)
        _replace(state, block)
        permute(state, 8)
    last = _xor(_rate(state), blocks[-1])
    _absorb(state, _pad(last))
    if not hmac.compare_digest(_tag(state, key), tag):
        raise CryptoError(f'{NAME}: the tag does not fit the message; drop it')
    return bytes(plaintext) + last


def permute(state: State, n_rounds: int) -> None:
    """Apply the permutation Ascon-p with 8 or 12 rounds; [1] section 3."""
    x0, x1, x2, x3, x4 = state
    for constant in ROUND_CONSTANTS[-n_rounds:]:
        x2 ^= constant
        # The 5-bit S-box, on all 64 columns at once; [1] section 3.3.
        x0, x2, x4 = x0 ^ x4, x2 ^ x1, x4 ^ x3
        x0, x1, x2, x3, x4 = x0 ^ ~x1 & x2, x1 ^ ~x2 & x3, x2 ^ ~x3 & x4, x3 ^ ~x4 & x0, x4 ^ ~x0 & x1
        x0, x1, x2, x3 = x0 ^ x4, x1 ^ x0, x2 ^ MASK, x3 ^ x2
        # Each word with two rotations of itself to the right; [1] section 3.4.
        x0 ^= ((x0 >> 19 | x0 << 45) ^ (x0 >> 28 | x0 << 36)) & MASK
        x1 ^= ((x1 >> 61 | x1 << 3) ^ (x1 >> 39 | x1 << 25)) & MASK
        x2 ^= ((x2 >> 1 | x2 << 63) ^ (x2 >> 6 | x2 << 58)) & MASK
        x3 ^= ((x3 >> 10 | x3 << 54) ^ (x3 >> 17 | x3 << 47)) & MASK
        x4 ^= ((x4 >> 7 | x4 << 57) ^ (x4 >> 41 | x4 << 23)) & MASK
    state[:] = x0, x1, x2, x3, x4


def _begin(key: bytes, nonce: bytes, associated_data: bytes) -> State:
    """Return the state after key, nonce and associated data."""
    state = [IV, *_words(key), *_words(nonce)]
    permute(state, 12)
    _xor_key(state, 3, key)
    if associated_data:
        *blocks, last = _blocks(associated_data)
        for block in (*blocks, _pad(last)):
            _absorb(state, block)
            permute(state, 8)
    state[4] ^= DOMAIN
    return state


def _tag(state: State, key: bytes) -> bytes:
    """Return the tag, which ends the state's use."""
    _xor_key(state, 2, key)
    permute(state, 12)
    _xor_key(state, 3, key)
    return state[3].to_bytes(8, 'little') + state[4].to_bytes(8, 'little')


def _xor_key(state: State, at: int, key: bytes) -> None:
    for i, word in enumerate(_words(key)):
        state[at + i] ^= word


def _words(block: bytes) -> tuple[int, int]:
    return int.from_bytes(block[:8], 'little'), int.from_bytes(block[8:], 'little')


def _rate(state: State) -> bytes:
    return state[0].to_bytes(8, 'little') + state[1].to_bytes(8, 'little')


def _absorb(state: State, block: bytes) -> None:
    low, high = _words(block)
    state[0] ^= low
    state[1] ^= high


def _replace(state: State, block: bytes) -> None:
    state[0], state[1] = _words(block)


def _blocks(data: bytes) -> list[bytes]:
    """Return blocks of the rate and one shorter one, which may be empty; [1] algorithm 1."""
    return [data[at:at + RATE_BYTES] for at in range(0, len(data) + 1, RATE_BYTES)]


def _pad(block: bytes) -> bytes:
    """Return a short block with a one and zeros behind it; [1] algorithm 2."""
    return block + b'\x01' + bytes(RATE_BYTES - 1 - len(block))


def _xor(stream: bytes, block: bytes) -> bytes:
    """Return a block combined with as much of the stream."""
    n_bytes = len(block)
    return (int.from_bytes(stream[:n_bytes], 'little') ^ int.from_bytes(block, 'little')).to_bytes(n_bytes, 'little')
