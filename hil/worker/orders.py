"""What one run asks of its workers; and, for those that stand by in pods, an order with the keys, in a folder of parts.

The twin packs an order into parts that each fit into a Kubernetes Secret, and whoever runs the pods brings them to a
folder there, one after the other. So a folder may hold half an order, or parts of two: the parts are one order if they
hash to what the first one begins with.
"""

import gzip
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hil.broker.names import Place
from hil.worker.keys import KeyStore
from sim.errors import InputError

PART_BYTES_MAX = 900 << 10  # a Secret takes 1 MiB, kubernetes.io/docs/concepts/configuration/secret, names included
PARTS_MAX = 8  # Secrets that a pod looks for: some 3,500 clients with keys of ML-KEM-768 and ML-DSA-65 each
DIGEST_BYTES = 32
ORDER_BYTES_MAX = 64 << 20  # unpacked
PREFETCH_MAX = 1_000  # messages of one class that a worker may hold


@dataclass(frozen=True)
class Task:
    """What the workers of a run are to do."""

    run: str
    suite: str
    provider: str
    priorities: Mapping[Place, Sequence[int]]  # of the messages that each place gets
    prefetch: int
    body_bytes_max: int
    is_padded: bool

    def arguments(self, place: Place, node: str, files: Mapping[str, Path | str]) -> list[str]:
        """Return the arguments of one worker; `files` has its broker, ca, keys, status and state, by these names."""
        found = {**files, 'node': node, 'run': self.run, 'place': place, 'suite': self.suite,
                 'provider': self.provider, 'body-bytes-max': self.body_bytes_max}
        return [*(f'--{name}={value}' for name, value in found.items()),
                *(f'--queue={priority}={self.prefetch}' for priority in self.priorities[place]),
                *(['--padded'] if self.is_padded else [])]


@dataclass(frozen=True)
class Order(Task):
    """A task for pods; `posts` names the worker that each of them is in this run, and other pods stay idle."""

    posts: Mapping[str, str]
    keys: Mapping[str, Any] = field(repr=False)  # as `KeyStore.to_json` writes them


def packed(order: Order) -> list[bytes]:
    """Return an order in parts.

    Raises
    ------
    InputError
        If its keys are too many.
    """
    compressed = gzip.compress(json.dumps(asdict(order)).encode(), compresslevel=6, mtime=0)
    whole = hashlib.sha256(compressed).digest() + compressed
    parts = [whole[first:first + PART_BYTES_MAX] for first in range(0, len(whole), PART_BYTES_MAX)]
    if len(parts) > PARTS_MAX:
        raise InputError(f'the keys of workers have {len(whole):,} bytes; expected at most '
                         f'{PARTS_MAX * PART_BYTES_MAX:,} on a cluster: take fewer devices')
    return parts


def part_name(i: int) -> str:
    """Return the file of a part."""
    return f'part-{i}'


def digest_in(folder: Path) -> bytes | None:
    """Return what tells the order in a folder from others, None if there is none; costs a node nearly nothing."""
    try:
        with (folder / part_name(0)).open('rb') as stream:
            return stream.read(DIGEST_BYTES)
    except OSError:
        return None


def read_order(folder: Path) -> Order | None:
    """Return the order in a folder; None if there is none, or not all of it yet.

    Raises
    ------
    InputError
        If what is there is whole, and no order.
    """
    parts = []
    for i in range(PARTS_MAX):
        try:
            parts.append((folder / part_name(i)).read_bytes())
        except OSError:
            break
    whole = b''.join(parts)
    if len(whole) <= DIGEST_BYTES or hashlib.sha256(whole[DIGEST_BYTES:]).digest() != whole[:DIGEST_BYTES]:
        return None
    try:
        with gzip.open(io.BytesIO(whole[DIGEST_BYTES:])) as stream:
            text = stream.read(ORDER_BYTES_MAX + 1)
        order = Order(**json.loads(text)) if len(text) <= ORDER_BYTES_MAX else None
    except (ValueError, TypeError, OSError, EOFError, RecursionError):
        order = None
    if order is None:
        raise InputError(f'{folder}: is not an order; let the twin write it')
    KeyStore.from_json(order.keys)
    return order
