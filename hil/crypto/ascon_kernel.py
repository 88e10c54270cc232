"""Ascon-AEAD128 compiled: the rules of `hil.crypto.ascon` in a form that Numba makes fast.

The state stays in five variables, so that it lives in registers. Blocks are read and written in place: `seal_into` and
`open_into` put a message into the caller's buffer with no copy on the way. Nothing branches on a secret
or indexes by one.

All that is compiled is in this file, because Numba checks no other one before it takes a function from its cache.
Nothing is compiled before the first call; `warm_up` makes that call.

References
----------
.. [1] NIST SP 800-232, "Ascon-Based Lightweight Cryptography Standards for Constrained Devices", 2025.
"""

import hmac

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hil.crypto import ascon
from hil.crypto.ascon import NAME
from hil.crypto.errors import CryptoError
from hil.crypto.lengths import KEY_BYTES, check_lengths
from sim.compiling import compiled
from sim.wire import AEAD_NONCE_BYTES, AEAD_TAG_BYTES

Readable = bytes | bytearray | memoryview
Writable = bytearray | memoryview | NDArray[np.uint8]
Bytes = NDArray[np.uint8]

_IV, _DOMAIN = np.uint64(ascon.IV), np.uint64(ascon.DOMAIN)
_OF_12, _OF_8 = (np.uint64(ascon.ROUND_CONSTANTS[-n]) for n in (12, 8))  # the first constant of so many rounds
_STEP = np.uint64(ascon.ROUND_CONSTANTS[0] - ascon.ROUND_CONSTANTS[1])  # from one round's constant to the next
_END = np.uint64(ascon.ROUND_CONSTANTS[-1]) - _STEP
_BYTE = np.uint64(0xFF)
_PAD = np.uint64(1)


def seal_into(key: Readable, nonce: Readable, plaintext: Readable, associated_data: Readable, out: Writable) -> None:
    """Write ciphertext and tag into a buffer of the plaintext's length and 16 bytes.

    Raises
    ------
    CryptoError
        If the key, the nonce or the buffer has the wrong length.
    """
    check_lengths(NAME, len(key), len(nonce))
    written = _writable(out, len(plaintext) + AEAD_TAG_BYTES)
    _run(_view(key), _view(nonce), _view(associated_data), _view(plaintext), written[:len(plaintext)],
         written[len(plaintext):], False)


def open_into(key: Readable, nonce: Readable, sealed: Readable, associated_data: Readable, out: Writable) -> None:
    """Write the plaintext into a buffer 16 bytes shorter than what was sealed; zeros if it does not open.

    Raises
    ------
    CryptoError
        If the tag is wrong, or a length is.
    """
    check_lengths(NAME, len(key), len(nonce), len(sealed))
    n_bytes = len(sealed) - AEAD_TAG_BYTES
    written, tag = _writable(out, n_bytes), np.empty(AEAD_TAG_BYTES, np.uint8)
    message = _view(sealed)
    _run(_view(key), _view(nonce), _view(associated_data), message[:n_bytes], written, tag, True)
    if not hmac.compare_digest(tag.tobytes(), message[n_bytes:].tobytes()):
        written[:] = 0  # what was not authenticated is not given out
        raise CryptoError(f'{NAME}: the tag does not fit the message; drop it')


def seal(key: bytes, nonce: bytes, plaintext: bytes, associated_data: bytes) -> bytes:
    """Return ciphertext and tag, as `hil.crypto.ascon.seal` does."""
    out = np.empty(len(plaintext) + AEAD_TAG_BYTES, np.uint8)
    seal_into(key, nonce, plaintext, associated_data, out)
    return out.tobytes()


def open_(key: bytes, nonce: bytes, sealed: bytes, associated_data: bytes) -> bytes:
    """Return the plaintext, as `hil.crypto.ascon.open_` does."""
    out = np.empty(max(0, len(sealed) - AEAD_TAG_BYTES), np.uint8)
    open_into(key, nonce, sealed, associated_data, out)
    return out.tobytes()


def warm_up() -> None:
    """Compile the kernel, or take it from the cache, so that no first message waits for it."""
    seal(bytes(KEY_BYTES[NAME]), bytes(AEAD_NONCE_BYTES[NAME]), b'', b'')


def _view(data: Readable) -> Bytes:
    """Return bytes as an array that cannot be written, whatever they are: so one compiled form serves all."""
    view = np.frombuffer(data, np.uint8)
    view.flags.writeable = False
    return view


def _writable(out: Writable, n_bytes: int) -> Bytes:
    """Return a buffer as an array."""
    view = np.frombuffer(out, np.uint8)
    if len(view) != n_bytes:
        raise CryptoError(f'{NAME}: a buffer of {len(view)} bytes; expected {n_bytes}')
    return view


@njit(inline='always')
def _rotate(x, n):
    return (x >> np.uint64(n)) | (x << np.uint64(64 - n))


@njit
def _permute(x0, x1, x2, x3, x4, constant):
    while constant != _END:
        x2 ^= constant
        x0 ^= x4
        x4 ^= x3
        x2 ^= x1
        y0 = x0 ^ (~x1 & x2)
        y1 = x1 ^ (~x2 & x3)
        y2 = x2 ^ (~x3 & x4)
        y3 = x3 ^ (~x4 & x0)
        y4 = x4 ^ (~x0 & x1)
        y1 ^= y0
        y0 ^= y4
        y3 ^= y2
        y2 = ~y2
        x0 = y0 ^ _rotate(y0, 19) ^ _rotate(y0, 28)
        x1 = y1 ^ _rotate(y1, 61) ^ _rotate(y1, 39)
        x2 = y2 ^ _rotate(y2, 1) ^ _rotate(y2, 6)
        x3 = y3 ^ _rotate(y3, 10) ^ _rotate(y3, 17)
        x4 = y4 ^ _rotate(y4, 7) ^ _rotate(y4, 41)
        constant -= _STEP
    return x0, x1, x2, x3, x4


@njit(inline='always')
def _load(data, at):
    """Return eight bytes as a word; LLVM makes one load of it."""
    return (np.uint64(data[at]) | np.uint64(data[at + 1]) << np.uint64(8) | np.uint64(data[at + 2]) << np.uint64(16)
            | np.uint64(data[at + 3]) << np.uint64(24) | np.uint64(data[at + 4]) << np.uint64(32)
            | np.uint64(data[at + 5]) << np.uint64(40) | np.uint64(data[at + 6]) << np.uint64(48)
            | np.uint64(data[at + 7]) << np.uint64(56))


@njit(inline='always')
def _store(data, at, word):
    """Write a word as eight bytes; LLVM makes one store of it."""
    data[at] = word & _BYTE
    data[at + 1] = (word >> np.uint64(8)) & _BYTE
    data[at + 2] = (word >> np.uint64(16)) & _BYTE
    data[at + 3] = (word >> np.uint64(24)) & _BYTE
    data[at + 4] = (word >> np.uint64(32)) & _BYTE
    data[at + 5] = (word >> np.uint64(40)) & _BYTE
    data[at + 6] = (word >> np.uint64(48)) & _BYTE
    data[at + 7] = (word >> np.uint64(56)) & _BYTE


@njit
def _load_padded(data, at, end):
    """Return the bytes from a place to the end, fewer than eight, and the padding's one behind them."""
    word = np.uint64(0)
    for i in range(end - at):
        word |= np.uint64(data[at + i]) << np.uint64(8 * i)
    return word | _PAD << np.uint64(8 * (end - at))


@njit
def _absorb(x0, x1, x2, x3, x4, data):
    """Take up associated data."""
    at, end = 0, len(data)
    while end - at >= 16:
        x0, x1, x2, x3, x4 = _permute(x0 ^ _load(data, at), x1 ^ _load(data, at + 8), x2, x3, x4, _OF_8)
        at += 16
    if end - at >= 8:
        x0 ^= _load(data, at)
        x1 ^= _load_padded(data, at + 8, end)
    else:
        x0 ^= _load_padded(data, at, end)
    return _permute(x0, x1, x2, x3, x4, _OF_8)


@njit
def _last_word(x, data, out, at, end, is_open):
    """Encrypt or decrypt the bytes before the end, fewer than eight; return the state's word after them."""
    n_bits = np.uint64(8 * (end - at))
    word = _load_padded(data, at, end)  # before anything is written, which may be over it
    mixed = x ^ word
    for i in range(end - at):
        out[at + i] = (mixed >> np.uint64(8 * i)) & _BYTE
    if is_open:  # the state's first bits become the ciphertext
        return (x >> n_bits << n_bits) ^ word
    return mixed


@compiled
def _run(key: Bytes, nonce: Bytes, associated_data: Bytes, data: Bytes, out: Bytes, tag: Bytes, is_open: bool) -> None:
    """Seal or open; [1] algorithms 3 and 4. The caller compares the tag."""
    k0, k1 = _load(key, 0), _load(key, 8)
    x0, x1, x2, x3, x4 = _permute(_IV, k0, k1, _load(nonce, 0), _load(nonce, 8), _OF_12)
    x3 ^= k0
    x4 ^= k1
    if len(associated_data) > 0:
        x0, x1, x2, x3, x4 = _absorb(x0, x1, x2, x3, x4, associated_data)
    x4 ^= _DOMAIN
    at, end = 0, len(data)
    while end - at >= 16:
        d0, d1 = _load(data, at), _load(data, at + 8)
        x0 ^= d0
        x1 ^= d1
        _store(out, at, x0)
        _store(out, at + 8, x1)
        if is_open:
            x0 = d0
            x1 = d1
        x0, x1, x2, x3, x4 = _permute(x0, x1, x2, x3, x4, _OF_8)
        at += 16
    if end - at >= 8:
        d0 = _load(data, at)
        x0 ^= d0
        _store(out, at, x0)
        if is_open:
            x0 = d0
        x1 = _last_word(x1, data, out, at + 8, end, is_open)
    else:
        x0 = _last_word(x0, data, out, at, end, is_open)
    x0, x1, x2, x3, x4 = _permute(x0, x1, x2 ^ k0, x3 ^ k1, x4, _OF_12)
    _store(tag, 0, x3 ^ k0)
    _store(tag, 8, x4 ^ k1)
