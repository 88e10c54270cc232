"""Updates on disk, by round and client: what makes an aggregation the same however often a message comes.

An update is on the disk before its message is acknowledged; the first one of a client counts. What comes again after
a crash is found here, and the sum is made anew from what is found. Room is bounded: the newest rounds are kept.

One process at a time does the work. But one that hung, and was replaced, may come back and go on where it was: then two
write, each a file of its own until it is whole; and what the slower one looks for may have been removed.
"""

import os
import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from hil import learning
from hil.wire.errors import DeadLetterError, MalformedError
from hil.worker.learning import SAMPLES_MAX, Parameters

ROUNDS_KEPT = 2  # the one that is summed, and the one before it, whose last messages may come again
BYTES_MAX = 2 << 30  # of one round's updates
NAME = re.compile(r'[0-9]{10}')


class StaleError(DeadLetterError):
    """The update is of a round that is over: it was late, and nobody waits for it."""

    reason = 'stale'


class UpdateStore:
    """The updates of one run in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def keep(self, update: Parameters) -> Parameters | None:
        """Keep a client's update, unless there is one of it; return the average if all of the round are there.

        Raises
        ------
        StaleError
            If the round is older than those that are kept.
        MalformedError
            If it does not go with the others of its round, or takes too much room.
        OSError
            If the disk does not take it: the message must not be acknowledged.
        """
        self._refuse_if_over(update.round)
        try:
            return self._keep(update)
        except FileNotFoundError:
            self._refuse_if_over(update.round)  # since we looked
            raise

    def _refuse_if_over(self, number: int) -> None:
        """Refuse an update of a round that is not kept any more."""
        newest = max(_numbers(self._folder), default=number)
        if number <= newest - ROUNDS_KEPT:
            raise StaleError(f'an update of round {number}, and round {newest} has begun; drop it')

    def _keep(self, update: Parameters) -> Parameters | None:
        """Keep an update of a round that is kept."""
        rounds = _numbers(self._folder)
        newest = max([*rounds, update.round])
        round_folder = self._folder / _name(update.round)
        clients = _numbers(round_folder)
        if update.client not in clients:
            self._check(update, round_folder, clients)
            _write(round_folder, _name(update.client), update.to_bytes())
            clients = _numbers(round_folder)
        for old in rounds:
            if old <= newest - ROUNDS_KEPT:
                with suppress(FileNotFoundError):  # another process has
                    shutil.rmtree(self._folder / _name(old))
        if len(clients) < update.n_updates:
            return None
        paths = [round_folder / _name(client) for client in clients]
        weights = [each.samples for each in map(_read, paths)]
        values = learning.average((_read(path).values for path in paths), weights)
        return Parameters(update.round, 0, sum(weights), len(paths), values)

    def _check(self, update: Parameters, round_folder: Path, clients: list[int]) -> None:
        """Refuse what could not be summed with the first of its round."""
        n_bytes = len(update.values) * update.n_updates
        if n_bytes > BYTES_MAX or update.samples > SAMPLES_MAX:
            raise MalformedError(f'an update of {update.samples} samples in a round of {n_bytes} bytes; expected at '
                                 f'most {SAMPLES_MAX} and {BYTES_MAX}')
        if not clients:
            return
        first = _read(round_folder / _name(clients[0]))
        if (first.n_updates, len(first.values)) != (update.n_updates, len(update.values)):
            raise MalformedError(f'an update of {len(update.values)} bytes, one of {update.n_updates}; the others of '
                                 f'round {update.round} have {len(first.values)}, and are {first.n_updates}')
        if len(clients) >= update.n_updates:
            raise MalformedError(f'round {update.round} has its {update.n_updates} updates already')


def _name(number: int) -> str:
    return f'{number:010d}'


def _numbers(folder: Path) -> list[int]:
    """Return the numbers that a folder has files or folders for, in ascending order; none if it is not there."""
    return sorted(int(path.name) for path in folder.glob('*') if NAME.fullmatch(path.name))


def _read(path: Path) -> Parameters:
    return Parameters.from_bytes(path.read_bytes())


def _write(folder: Path, name: str, content: bytes) -> None:
    """Write a file that is there whole, and after a power cut too, or not at all; the first of its name stays."""
    folder.mkdir(exist_ok=True)
    unfinished = folder / f'{name}.{secrets.token_hex(8)}.part'
    with unfinished.open('wb') as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    with suppress(FileExistsError):
        (folder / name).hardlink_to(unfinished)
    unfinished.unlink()
    for each in (folder, folder.parent):
        descriptor = os.open(each, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
