"""Sealing keys: no nonce comes twice, whatever starts again; and what comes twice is known."""

import copy
import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.crypto import sealing
from hil.crypto.aead import aead
from hil.crypto.errors import CryptoError, ReplayError
from hil.crypto.interfaces import Aead
from hil.crypto.sealing import LIMITS, WINDOW, Direction, Limit, OpeningKey, SealingKey
from sim.wire import AEAD_NONCE_BYTES

SESSION = bytes(range(32))
FAST = aead('AES-128-GCM')


class Recorder:
    """An AEAD that notes under which key and nonce it seals."""

    def __init__(self) -> None:
        self.used: list[tuple[bytes, bytes]] = []
        self.name, self.implementation, self.key_bytes = FAST.name, FAST.implementation, FAST.key_bytes

    def seal(self, key: bytes, nonce: bytes, plaintext: bytes, associated_data: bytes) -> bytes:
        """Seal, and note it."""
        self.used.append((key, nonce))
        return FAST.seal(key, nonce, plaintext, associated_data)

    def open(self, key: bytes, nonce: bytes, sealed: bytes, associated_data: bytes) -> bytes:
        """Open."""
        return FAST.open(key, nonce, sealed, associated_data)


def pair(cipher: Aead = FAST, sender: str = 'pump-1') -> tuple[SealingKey, OpeningKey]:
    """Return the keys of a sender and of who receives from it."""
    return SealingKey(cipher, SESSION, Direction.UP, sender), OpeningKey(cipher, SESSION, Direction.UP, sender)


def test_messages_open_with_every_cipher(cipher: Aead) -> None:
    """Five messages in the order they were sealed, each once, with counters from 0."""
    sender, receiver = pair(cipher)
    for counter in range(5):
        message = sender.seal(bytes([counter]), b'data')
        assert message.counter == counter
        opened = receiver.open(message, b'data')
        assert (opened.plaintext, opened.is_duplicate) == (bytes([counter]), False)


def test_no_nonce_comes_twice_however_often_a_sender_starts() -> None:
    """Ten starts with one session key and fifty messages each: 500 different pairs of key and nonce."""
    recorder = Recorder()
    for _ in range(10):
        sender = SealingKey(recorder, SESSION, Direction.UP, 'pump-1')
        for _ in range(50):
            sender.seal(b'the same', b'data')
    assert len(set(recorder.used)) == 500
    assert len({key for key, _ in recorder.used}) == 10
    assert {nonce for _, nonce in recorder.used} == {i.to_bytes(12, 'big') for i in range(50)}


def test_two_processes_with_one_session_key_seal_differently() -> None:
    """Two real processes that share but a session key: other boot ids, other bytes, and one receiver opens both."""
    code = f"""
from hil.crypto.aead import aead
from hil.crypto.sealing import Direction, SealingKey
import json
key = SealingKey(aead('AES-128-GCM'), bytes.fromhex('{SESSION.hex()}'), Direction.UP, 'pump-1')
messages = [key.seal(b'the same', b'data') for _ in range(3)]
print(json.dumps([(message.boot_id.hex(), message.counter, message.body.hex()) for message in messages]))
"""
    runs = [subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True) for _ in range(2)]
    first, second = (json.loads(run.stdout) for run in runs)
    assert first[0][0] != second[0][0]
    assert [each[1] for each in first + second] == [0, 1, 2, 0, 1, 2]
    assert len({each[2] for each in first + second}) == 6
    _, receiver = pair()
    for boot_id, counter, body in first + second:
        message = sealing.Sealed(bytes.fromhex(boot_id), counter, bytes.fromhex(body))
        assert receiver.open(message, b'data').plaintext == b'the same'


def test_a_forked_process_cannot_seal() -> None:
    """A child that inherits a sealing key would repeat its parent's nonces: it is refused, and the parent goes on."""
    code = """
import os
from hil.crypto.aead import aead
from hil.crypto.errors import CryptoError
from hil.crypto.sealing import Direction, SealingKey
key = SealingKey(aead('AES-128-GCM'), bytes(32), Direction.UP, 'pump-1')
child = os.fork()
if child == 0:
    try:
        key.seal(b'', b'')
    except CryptoError as error:
        os._exit(7 if 'fork' in str(error) else 1)
    os._exit(2)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), key.seal(b'', b'').counter)
"""
    ran = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ['7', '0']


@pytest.mark.parametrize('duplicate', [copy.copy, copy.deepcopy, pickle.dumps])
def test_keys_cannot_be_copied(duplicate: object) -> None:
    """Neither the key that counts nonces nor the one that remembers them can be copied or sent elsewhere."""
    assert callable(duplicate)
    for key in pair():
        with pytest.raises(TypeError, match='cannot be copied'):
            duplicate(key)


def test_threads_share_a_sealing_key() -> None:
    """Four threads that seal 400 messages at once get 400 counters, without one missing."""
    sender, _ = pair()
    with ThreadPoolExecutor(4) as pool:
        messages = list(pool.map(lambda i: sender.seal(bytes([i % 256]), b''), range(400)))
    assert sorted(message.counter for message in messages) == list(range(400))


@pytest.mark.parametrize('name', LIMITS)
def test_a_key_that_has_seen_enough_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With limits of three messages, then of 100 bytes with nonces and data: what fits is sealed, and no more."""
    interpreted = 'interpreted' if name in {'Ascon-128', 'Ascon-128a'} else 'native'
    if interpreted == 'interpreted':
        pytest.importorskip('ascon', reason='the extra with the legacy cipher is not installed')
    cipher = aead(name, interpreted)
    monkeypatch.setitem(LIMITS, name, Limit(3, 10_000))
    sender, _ = pair(cipher)
    for _ in range(3):
        sender.seal(b'', b'')
    with pytest.raises(CryptoError, match=r'3 messages and .* agree on a new session key'):
        sender.seal(b'', b'')
    monkeypatch.setitem(LIMITS, name, Limit(1000, 100))
    sender, _ = pair(cipher)
    n_rest = 100 - AEAD_NONCE_BYTES[name] - 10
    with pytest.raises(CryptoError, match='0 messages and 0 bytes'):
        sender.seal(bytes(n_rest + 1), bytes(10))
    assert sender.seal(bytes(n_rest), bytes(10)).counter == 0


def test_the_limits_are_those_of_the_standards() -> None:
    """SP 800-232 section 4.3: 2^54 bytes; SP 800-38D section 8.3: 2^32 messages. No counter outgrows its nonce."""
    assert LIMITS['Ascon-AEAD128'].n_bytes == 2**54
    assert LIMITS['AES-128-GCM'].n_messages == 2**32
    for name, limit in LIMITS.items():
        assert limit.n_messages <= 2 ** (8 * AEAD_NONCE_BYTES[name])


def test_keys_are_separate() -> None:
    """Another session key, direction, sender or cipher opens nothing, though boot id and counter are right."""
    message = pair()[0].seal(b'secret', b'data')
    others = [OpeningKey(FAST, bytes(32), Direction.UP, 'pump-1'), OpeningKey(FAST, SESSION, Direction.DOWN, 'pump-1'),
              OpeningKey(FAST, SESSION, Direction.UP, 'pump-2'), OpeningKey(FAST, SESSION, Direction.UP, 'pump-')]
    for other in others:
        with pytest.raises(CryptoError):
            other.open(message, b'data')
    keys = {sealing._sealing_key(cipher, SESSION, direction, sender, bytes(16))
            for cipher in (FAST, aead('Ascon-AEAD128')) for direction in Direction for sender in ('a', 'b', 'up')}
    assert len(keys) == 12


@pytest.mark.parametrize('change', [
    {'boot_id': bytes(16)}, {'counter': 1}, {'body': b''}, {'boot_id': b''}, {'counter': -1}, {'counter': 2**32}])
def test_a_changed_header_opens_nothing(change: dict[str, object]) -> None:
    """Boot id, counter or body of another message, or none that there can be: refused, and not remembered."""
    sender, receiver = pair()
    message = sender.seal(b'secret', b'data')
    with pytest.raises(CryptoError):
        receiver.open(replace(message, **change), b'data')  # type: ignore[arg-type]  # the parameters are of all kinds
    assert not receiver._boots
    assert receiver.open(message, b'data') == sealing.Opened(b'secret', is_duplicate=False)


def test_the_same_message_again_is_a_duplicate() -> None:
    """A redelivery opens, and is told; also after others have come."""
    sender, receiver = pair()
    messages = [sender.seal(bytes([i]), b'data') for i in range(3)]
    for message in messages:
        assert not receiver.open(message, b'data').is_duplicate
    for message in messages:
        assert receiver.open(message, b'data') == sealing.Opened(bytes([message.counter]), is_duplicate=True)


def test_a_nonce_for_another_job_is_a_replay() -> None:
    """Boot id and counter of a message that was opened, with other associated data: told apart from tampering."""
    sender, receiver = pair()
    message = sender.seal(b'secret', b'job 1')
    receiver.open(message, b'job 1')
    with pytest.raises(ReplayError, match='again with other associated data'):
        receiver.open(message, b'job 2')
    with pytest.raises(CryptoError) as refused:
        receiver.open(replace(message, body=message.body[:-1] + b'?'), b'job 1')
    assert not isinstance(refused.value, ReplayError)


def test_what_is_older_than_the_window_is_refused() -> None:
    """The message a window behind the newest is refused even if it was never opened; the one after it is not."""
    sender, receiver = pair()
    messages = [sender.seal(b'', b'data') for _ in range(WINDOW + 1)]
    receiver.open(messages[-1], b'data')
    with pytest.raises(ReplayError, match='too old'):
        receiver.open(messages[0], b'data')
    assert not receiver.open(messages[1], b'data').is_duplicate


def test_memory_is_bounded_and_forgets_no_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a window of 8: of 200 messages at most 16 are remembered; each that comes again is known or refused."""
    monkeypatch.setattr(sealing, 'WINDOW', 8)
    sender, receiver = pair()
    messages = [sender.seal(b'', b'data') for _ in range(200)]
    for message in messages:
        receiver.open(message, b'data')
        (boot,) = receiver._boots.values()
        assert len(boot.seen) <= 16
    for message in messages:
        try:
            assert receiver.open(message, b'data').is_duplicate
        except ReplayError:
            continue


def test_a_sender_may_start_so_often_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for three starts: the fourth is refused, the others are remembered, and forgeries take no room."""
    monkeypatch.setattr(sealing, 'BOOTS_MAX', 3)
    _, receiver = pair()
    for i in range(10):
        with pytest.raises(CryptoError, match='tag'):
            receiver.open(sealing.Sealed(bytes([i] * 16), 0, bytes(40)), b'data')
    starts = [pair()[0].seal(b'', b'data') for _ in range(4)]
    for message in starts[:3]:
        receiver.open(message, b'data')
    with pytest.raises(CryptoError, match='3 times under one session key'):
        receiver.open(starts[3], b'data')
    assert receiver.open(starts[0], b'data').is_duplicate


@settings(max_examples=40)
@given(order=st.lists(st.integers(0, 40), max_size=120))
def test_accepted_once_in_any_order(order: list[int]) -> None:
    """Messages delivered in any order and any number of times: each is new exactly once, and a duplicate afterwards."""
    sender, receiver = pair()
    messages = [sender.seal(bytes([i]), b'data') for i in range(41)]
    came: set[int] = set()
    for i in order:
        assert receiver.open(messages[i], b'data') == sealing.Opened(bytes([i]), is_duplicate=i in came)
        came.add(i)


def test_a_short_session_key_is_refused() -> None:
    """Fewer than 128 bits would be the weakest part of every suite."""
    for make in (SealingKey, OpeningKey):
        with pytest.raises(CryptoError, match='15 bytes; expected at least 16'):
            make(FAST, bytes(15), Direction.UP, 'pump-1')
