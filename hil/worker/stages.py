"""The real function of each stage that is done on hardware; the order of stages is the flow's, in `sim.flows`.

A stage takes the body that the one before it left. Signatures are over associated data and sealed body, and lie behind
it; the ciphertext of a fresh key lies before it. Not here: the flows of key life.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hil.crypto.errors import CryptoError
from hil.crypto.key_derivation import derive
from hil.crypto.sealing import OpeningKey, Sealed, SealingKey
from hil.crypto.suites import BoundSuite
from hil.keys.messages import subject_id
from hil.wire.errors import MalformedError, MisroutedError, UnknownKeyError
from hil.wire.message import Message, SealedBy, associated_data
from hil.worker.keys import Sealer, direction
from hil.worker.learning import Parameters, train
from hil.worker.updates import UpdateStore
from sim import flows
from sim.wire import KEM_CIPHERTEXT_BYTES, SIGNATURE_BYTES

FRESH_LABEL = b'iomtwin fresh key 1'


@dataclass(frozen=True)
class Bench:
    """What a worker works with; all of it is there before the first message."""

    bound: BoundSuite
    sealer: Sealer
    place: str
    node: bytes  # id of the node, the sender of what is sealed here
    updates: UpdateStore | None = None  # where `fl.aggregate` is done


@dataclass
class Work:
    """A message in hand: what the stages have made of its body so far."""

    message: Message
    body: bytes
    sealed_by: SealedBy | None
    sender: bytes
    receiver: bytes
    fresh_key: bytes = b''  # from `kem.encaps` or `kem.decaps`, for the stage behind it
    ciphertext: bytes = b''
    nonce: tuple[bytes, int] | None = None  # of what was opened
    is_duplicate: bool = False


def seal(bench: Bench, work: Work, at: int) -> None:
    """Seal the body for who opens it next in the flow."""
    if work.sealed_by is not None:
        raise MalformedError('a body is to be sealed and is sealed already')
    key = work.message.key
    work.sender = key.subject if bench.place == 'device' else bench.node
    work.receiver = receiver_of(work.message, at)
    data = associated_data(work.message, at, work.sender, work.receiver)
    if work.fresh_key:
        fresh = SealingKey(bench.bound.aead, work.fresh_key, direction(key, work.sender), work.sender.hex())
        sealed = fresh.seal(work.body, data)
    else:
        sealed = bench.sealer.seal(key, work.sender, work.body, data)
    work.body, work.sealed_by = work.ciphertext + sealed.body, SealedBy(at, sealed.boot_id, sealed.counter)
    work.fresh_key = work.ciphertext = b''


def open_(bench: Bench, work: Work, at: int) -> None:
    """Open the body, if it is for this place; a duplicate opens, and is told."""
    del at
    by = _sealed_by(work)
    key = work.message.key
    if work.receiver not in {subject_id(bench.place), key.subject if bench.place == 'device' else b''}:
        raise MisroutedError(f'a body that is sealed for {work.receiver.hex()} came to {bench.place}; drop it')
    data = associated_data(work.message, by.stage, work.sender, work.receiver)
    sealed = Sealed(by.boot_id, by.counter, work.body)
    if work.fresh_key:
        once = OpeningKey(bench.bound.aead, work.fresh_key, direction(key, work.sender), work.sender.hex())
        opened = once.open(sealed, data)
    else:
        opened = bench.sealer.open(key, work.sender, sealed, data)
    work.nonce, work.is_duplicate = (by.boot_id, by.counter), opened.is_duplicate
    work.body, work.sealed_by, work.fresh_key = opened.plaintext, None, b''


def encapsulate(bench: Bench, work: Work, at: int) -> None:
    """Agree on a fresh key with the subject, for the seal behind this stage."""
    del at
    subject = work.message.key.subject
    public = bench.sealer.store.kem_public.get(subject)
    if public is None:
        raise UnknownKeyError(f'there is no public KEM key of {subject.hex()}; give it to the workers')
    made = bench.bound.kem.encapsulate(public)
    work.fresh_key, work.ciphertext = _fresh_key(made.secret, made.ciphertext), made.ciphertext


def decapsulate(bench: Bench, work: Work, at: int) -> None:
    """Take the fresh key that a message brings, for the stage behind this one."""
    del at
    _sealed_by(work)
    subject = work.message.key.subject
    private = bench.sealer.store.kem_private.get(subject)
    if private is None:
        raise UnknownKeyError(f'there is no private KEM key of {subject.hex()} here')
    n_bytes = KEM_CIPHERTEXT_BYTES[bench.bound.kem.name]
    ciphertext, work.body = work.body[:n_bytes], work.body[n_bytes:]
    work.fresh_key = _fresh_key(bench.bound.kem.decapsulate(private, ciphertext), ciphertext)


def sign(bench: Bench, work: Work, at: int) -> None:
    """Sign what was sealed."""
    del at
    private = bench.sealer.store.signature_private.get(work.sender)
    if private is None:
        raise UnknownKeyError(f'there is no private signature key of {work.sender.hex()} here')
    work.body += bench.bound.signature.sign(private, _signed(work, work.body))


def verify(bench: Bench, work: Work, at: int) -> None:
    """Take the signature off the body, if the sender made it."""
    del at
    public = bench.sealer.store.signature_public.get(work.sender)
    if public is None:
        raise UnknownKeyError(f'there is no public signature key of {work.sender.hex()}; give it to the workers')
    n_bytes = SIGNATURE_BYTES[bench.bound.signature.name]
    if len(work.body) < n_bytes:
        raise CryptoError(f'a body of {len(work.body)} bytes; its signature alone has {n_bytes}; drop it')
    body, signature = work.body[:-n_bytes], work.body[-n_bytes:]
    bench.bound.signature.verify(public, _signed(work, body), signature)
    work.body = body


def train_model(bench: Bench, work: Work, at: int) -> None:
    """Train the model in the body on the client's samples; an update is left."""
    del bench, at
    work.body = train(Parameters.from_bytes(_plain(work))).to_bytes()


def aggregate(bench: Bench, work: Work, at: int) -> None:
    """Keep the update in the body; the average is left if it was the last one missing, and nothing if not."""
    del at
    if bench.updates is None:
        raise MisroutedError(f'{bench.place} has no folder for updates; start it with one')
    average = bench.updates.keep(Parameters.from_bytes(_plain(work)))
    work.body = average.to_bytes() if average else b''


FUNCTIONS: Mapping[str, Callable[[Bench, Work, int], None]] = {
    'aead.seal': seal, 'aead.open': open_, 'kem.encaps': encapsulate, 'kem.decaps': decapsulate, 'sig.sign': sign,
    'sig.verify': verify, 'fl.train': train_model, 'fl.aggregate': aggregate,
}


def receiver_of(message: Message, at: int) -> bytes:
    """Return the id of who opens next what a stage of a flow seals: the key's subject, or a place."""
    places = (stage.place for stage in flows.FLOWS[message.flow][at + 1:] if stage.name == 'aead.open')
    place = next(places, 'device')
    return message.key.subject if place == 'device' else subject_id(place)


def _fresh_key(secret: bytes, ciphertext: bytes) -> bytes:
    """Return a session key made of a KEM's secret and what carried it."""
    return derive(secret, FRESH_LABEL + ciphertext)


def _signed(work: Work, body: bytes) -> bytes:
    return associated_data(work.message, _sealed_by(work).stage, work.sender, work.receiver) + body


def _sealed_by(work: Work) -> SealedBy:
    if work.sealed_by is None:
        raise MalformedError('a body is to be opened or signed and is not sealed')
    return work.sealed_by


def _plain(work: Work) -> bytes:
    if work.sealed_by is not None:
        raise MalformedError('a body is to be worked on and is sealed')
    return work.body
