"""Messages that end whoever takes them: what a worker notes on disk before it begins, and finds when it starts again.

A classic queue does not count deliveries: a message that crashes a library, or takes more memory than there is, would
come back for ever and end one worker after the other. So the digest of the message in hand is on disk while the worker
is at it. Who starts and finds one knows that it ended his predecessor; what has done so `DEATHS_MAX` times is not begun
again. Each worker counts for itself: of n workers that do not share a folder, a message ends at most n times as many.

A note outlives its process and not its computer: it is not synced, which would cost more than most messages. A message
that makes the power fail is not found. One that is in hand each time when somebody kills the worker is found wrongly.

The file is ``RECORD`` after ``RECORD``: the message in hand, then suspects, the latest last; zeros are none. Its owner
holds a lock on it, so that workers may share a folder: each takes the first file that nobody holds.
"""

import fcntl
import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hil.wire.codec import HEADER_BYTES_MAX
from hil.wire.errors import DeadLetterError
from sim.errors import InputError

DEATHS_MAX = 2  # the third time that a message comes it is a dead letter
SUSPECTS_MAX = 64  # the latest; a worker has one message in hand
WORKERS_MAX = 64  # of one folder
RECORD = struct.Struct('>16sB')  # digest, deaths
NOTHING = bytes(16)


class PoisonError(DeadLetterError):
    """It has ended its workers: keep it, find out why, and do not let another one begin it."""

    reason = 'poison'


class Suspects:
    """One worker's notes. Invariant: while a message is in hand, the file says so.

    Parameters
    ----------
    folder
        Where they are; workers of one run may share it.

    Raises
    ------
    InputError
        If too many workers share the folder.
    OSError
        If the disk does not take a note.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor = _first_free(folder)
        found = os.pread(self._descriptor, RECORD.size * (1 + SUSPECTS_MAX), 0)
        whole = found[:len(found) // RECORD.size * RECORD.size]
        (in_hand, _), *suspects = RECORD.iter_unpack(whole or RECORD.pack(NOTHING, 0))
        self._deaths: dict[bytes, int] = {digest: deaths for digest, deaths in suspects if deaths}
        if in_hand != NOTHING:
            self._deaths[in_hand] = self._deaths.pop(in_hand, 0) + 1
        self._write()

    @contextmanager
    def held(self, raw: bytes) -> Iterator[None]:
        """Have a message in hand: who ends within this block ends by it.

        Raises
        ------
        PoisonError
            If it has ended too many already.
        OSError
            If the disk does not take the note.
        """
        digest = hashlib.blake2b(raw[:HEADER_BYTES_MAX], digest_size=len(NOTHING)).digest()  # as much as is kept of it
        deaths = self._deaths.get(digest, 0)
        if deaths >= DEATHS_MAX:
            raise PoisonError(f'a message that has ended its worker {deaths} times; find out what it does there')
        self._note(digest)
        try:
            yield
        finally:
            self._note(NOTHING)
            if self._deaths.pop(digest, 0):
                self._write()

    def _note(self, digest: bytes) -> None:
        os.pwrite(self._descriptor, RECORD.pack(digest, 0), 0)

    def _write(self) -> None:
        """Write all anew, with nothing in hand."""
        latest = list(self._deaths.items())[-SUSPECTS_MAX:]
        records = [(NOTHING, 0), *latest, *[(NOTHING, 0)] * (SUSPECTS_MAX - len(latest))]
        os.pwrite(self._descriptor, b''.join(RECORD.pack(*record) for record in records), 0)


def _first_free(folder: Path) -> int:
    """Return a descriptor of the first file that nobody holds, held from now on until the process ends."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(WORKERS_MAX):
        descriptor = os.open(folder / f'{i}', os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            return descriptor
    raise InputError(f'{folder}: {WORKERS_MAX} workers note there what they begin; give the others a --state of their '
                     'own')
