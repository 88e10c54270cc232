"""Messages with their receiver, and those that are sealed between the authority and one subject.

What is sealed between them is sealed under the subject's own session key, with the message's header as associated data.
So key records are as forward secret as the keys of the places that they go to.
"""

from typing import NamedTuple

from hil.keys.messages import Kind, Message, header, sealed_fields
from hil.keys.rings import KeyRing
from sim.suites import Suite


class Letter(NamedTuple):
    """A message and the name of the subject that it goes to."""

    to: str
    message: bytes


def seal_letter(ring: KeyRing, suite: Suite, kind: Kind, subject: bytes, content: bytes, now: float) -> bytes:
    """Return a message sealed under the active key of the subject that sends or gets it; raises as `KeyRing.seal`."""
    head = header(kind, subject, ring.active(subject))
    return head + sealed_fields(suite, ring.seal(subject, content, head, now)[1])


def open_letter(ring: KeyRing, message: Message, sender: bytes, now: float) -> bytes:
    """Return what such a message says, the second time too; raises as `KeyRing.open`."""
    return ring.open(message.subject, message.epoch, sender, message.sealed, message.header, now).plaintext
