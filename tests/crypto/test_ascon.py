"""Ascon-AEAD128 in both of its forms: to the published answers, and to each other."""

import subprocess
import sys
from types import ModuleType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hil.crypto import ascon, ascon_kernel
from hil.crypto.errors import CryptoError
from tests.crypto.vectors import ascon_answers, needs_vectors

FORMS = pytest.mark.parametrize('form', [ascon, ascon_kernel], ids=['python', 'numba'])

KEY, NONCE = bytes(range(16)), bytes(range(16, 32))
# ascon/ascon-c, crypto_aead/asconaead128: known answers 1, 2, 34, 601 and 1088.
ANSWERS = [
    (b'', b'', '4f9c278211bec9316bf68f46ee8b2ec6'),
    (b'', b'0', 'cccb674fe18a09a285d6ab11b35675c0'),
    (b' ', b'', 'e8dd576aba1cd3e6fc704de02aedb79588'),
    (bytes(range(32, 50)), b'012345', '9310c6dd8e9cbc3e406c0ebfbea312435f2c6975faf3b6b2b17ef1ea2503c3d31ef5'),
    (bytes(range(32, 64)), bytes(range(48, 79)),
     '4b392e5fa60e0cbbca547db96e3262bd8382d6c0e608e24f441aaafc4726e5ad779233da0ae25e0bde856e4805896ec2'),
]


@FORMS
@pytest.mark.parametrize(('plaintext', 'associated_data', 'sealed'), ANSWERS)
def test_some_published_answers(form: ModuleType, plaintext: bytes, associated_data: bytes, sealed: str) -> None:
    """Answers from the designers' file, for clones that do not have it."""
    assert form.seal(KEY, NONCE, plaintext, associated_data) == bytes.fromhex(sealed)
    assert form.open_(KEY, NONCE, bytes.fromhex(sealed), associated_data) == plaintext


@needs_vectors
@FORMS
def test_all_published_answers(form: ModuleType) -> None:
    """Each of the 1,089 known answers of the designers' file, sealed and opened."""
    n_answers = 0
    for n_answers, answer in enumerate(ascon_answers(), 1):
        key, nonce, plaintext, data, sealed = (answer[name] for name in ('Key', 'Nonce', 'PT', 'AD', 'CT'))
        assert form.seal(key, nonce, plaintext, data) == sealed, f'answer {n_answers}'
        assert form.open_(key, nonce, sealed, data) == plaintext, f'answer {n_answers}'
    assert n_answers == 1089


@given(key=st.binary(min_size=16, max_size=16), nonce=st.binary(min_size=16, max_size=16), data=st.binary(max_size=70),
       plaintext=st.binary(max_size=200))
@example(KEY, NONCE, b'', b'')
@example(KEY, NONCE, bytes(8), bytes(7))
@example(KEY, NONCE, bytes(15), bytes(15))
@example(KEY, NONCE, bytes(16), bytes(16))
@example(KEY, NONCE, bytes(17), bytes(17))
@example(KEY, NONCE, b'data', bytes(range(256)) * 256)
def test_both_forms_are_equal(key: bytes, nonce: bytes, data: bytes, plaintext: bytes) -> None:
    """On random messages and on those at the edges of blocks, each form opens what both seal alike."""
    sealed = ascon.seal(key, nonce, plaintext, data)
    assert ascon_kernel.seal(key, nonce, plaintext, data) == sealed
    assert ascon.open_(key, nonce, sealed, data) == ascon_kernel.open_(key, nonce, sealed, data) == plaintext


@settings(max_examples=30)
@given(n_rounds=st.sampled_from([8, 12]), state=st.lists(st.integers(0, 2**64 - 1), min_size=5, max_size=5))
def test_the_permutation_can_be_undone(n_rounds: int, state: list[int]) -> None:
    """A round with its steps reversed, its rotations inverted as a product of powers, gives back each random state."""
    permuted = state.copy()
    ascon.permute(permuted, n_rounds)
    for constant in reversed(ascon.ROUND_CONSTANTS[-n_rounds:]):
        permuted = [undiffused(word, *rotations) for word, rotations in zip(permuted, ROTATIONS, strict=True)]
        permuted = unsubstituted(permuted)
        permuted[2] ^= constant
    assert permuted == state


ROTATIONS = ((19, 28), (61, 39), (1, 6), (10, 17), (7, 41))  # SP 800-232 section 3.4
# SP 800-232 table 6: the S-box of a column, whose first bit is that of the first word.
SBOX = (0x04, 0x0b, 0x1f, 0x14, 0x1a, 0x15, 0x09, 0x02, 0x1b, 0x05, 0x08, 0x12, 0x1d, 0x03, 0x06, 0x1c,
        0x1e, 0x13, 0x07, 0x0e, 0x00, 0x0d, 0x11, 0x18, 0x10, 0x0c, 0x01, 0x19, 0x16, 0x0a, 0x0f, 0x17)


def undiffused(word: int, first: int, second: int) -> int:
    """Return the word that the diffusion made this one of: it is a map of order 64, so 63 times more undo it."""
    for _ in range(63):
        word ^= rotated(word, first) ^ rotated(word, second)
    return word


def rotated(word: int, n_bits: int) -> int:
    """Return a word rotated to the right."""
    return (word >> n_bits | word << 64 - n_bits) & (2**64 - 1)


def unsubstituted(state: list[int]) -> list[int]:
    """Return the words before the S-box, column by column."""
    columns = [sum((word >> bit & 1) << 4 - i for i, word in enumerate(state)) for bit in range(64)]
    before = [SBOX.index(column) for column in columns]
    return [sum((column >> 4 - i & 1) << bit for bit, column in enumerate(before)) for i in range(5)]


def test_the_kernel_writes_into_the_callers_buffer() -> None:
    """Sealed and opened in a part of a larger buffer, with bytes of any kind: only that part changes."""
    plaintext = bytes(range(100))
    buffer = bytearray(b'.' * 200)
    ascon_kernel.seal_into(bytearray(KEY), memoryview(NONCE), plaintext, b'data', memoryview(buffer)[10:126])
    assert bytes(buffer[10:126]) == ascon.seal(KEY, NONCE, plaintext, b'data')
    opened = bytearray(100)
    ascon_kernel.open_into(KEY, NONCE, memoryview(buffer)[10:126], b'data', opened)
    assert opened == plaintext
    assert set(buffer[:10] + buffer[126:]) == set(b'.')


def test_the_kernel_seals_and_opens_in_place() -> None:
    """A message that is overwritten by itself sealed, and by itself again, is the same."""
    buffer = bytearray(bytes(range(90)) + bytes(16))
    ascon_kernel.seal_into(KEY, NONCE, memoryview(buffer)[:90], b'', buffer)
    assert bytes(buffer) == ascon.seal(KEY, NONCE, bytes(range(90)), b'')
    ascon_kernel.open_into(KEY, NONCE, buffer, b'', memoryview(buffer)[:90])
    assert bytes(buffer[:90]) == bytes(range(90))


def test_the_kernel_gives_out_nothing_that_does_not_open() -> None:
    """After a wrong tag the caller's buffer holds zeros, and no plaintext."""
    sealed = bytearray(ascon_kernel.seal(KEY, NONCE, b'secret' * 10, b''))
    sealed[-1] ^= 1
    opened = bytearray(b'.' * 60)
    with pytest.raises(CryptoError, match='tag'):
        ascon_kernel.open_into(KEY, NONCE, sealed, b'', opened)
    assert opened == bytes(60)


def test_a_buffer_of_the_wrong_length_is_refused() -> None:
    """One byte less or more than message and tag need is an error, and never written beyond."""
    for n_bytes in (19, 21):
        with pytest.raises(CryptoError, match='20'):
            ascon_kernel.seal_into(KEY, NONCE, bytes(4), b'', bytearray(n_bytes))


def test_importing_compiles_nothing() -> None:
    """A fresh interpreter that has imported the kernel has no compiled form of it, and one that seals has one."""
    code = ('from hil.crypto import ascon_kernel as k; print(len(k._run.signatures)); k.warm_up(); '
            'k.seal(bytes(16), bytes(16), bytearray(3), memoryview(b"1")); print(len(k._run.signatures))')
    ran = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ['0', '1']
