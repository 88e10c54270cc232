"""Why a message is refused, by what its receiver does. Each of them goes to the dead letters, with its reason."""

from typing import ClassVar

from sim.errors import IomtwinError


class DeadLetterError(IomtwinError):
    """A message that is refused: put it to the dead letters with `reason`, count it, and go on."""

    reason: ClassVar[str] = 'malformed'


class MalformedError(DeadLetterError):
    """These bytes are no message: nothing in them can be trusted, not even the job's number."""


class OversizedError(DeadLetterError):
    """There are more bytes than are looked at: what is kept of them is their beginning."""

    reason = 'oversized'


class UnknownVersionError(DeadLetterError):
    """The sender speaks another version: keep it, and start workers of the twin's version."""

    reason = 'version'


class UnknownRunError(DeadLetterError):
    """It belongs to another run: look for a queue that outlived its run."""

    reason = 'unknown-run'


class UnknownKeyError(DeadLetterError):
    """Nobody here has the key: give it to the workers before messages are sealed under it."""

    reason = 'unknown-key'


class MisroutedError(DeadLetterError):
    """It asks for work that is not done here: look at the bindings of the queue."""

    reason = 'misrouted'
