"""Why a message of a key's life, or one under its keys, is refused: by what the receiver does about it.

Beside these, `hil.crypto.errors` has `ReplayError` and `ExhaustedError`. No message holds a secret.
"""

from hil.crypto.errors import CryptoError


class TamperedError(CryptoError):
    """A message is malformed, or not what its sender made for this receiver: drop it and count it."""


class UnknownKeyError(CryptoError):
    """There is no such subject or key, not yet or not any longer: drop the message; a new key must be agreed on."""


class RevokedError(CryptoError):
    """The subject is revoked: drop the message and tell whoever looks after the hospital's devices."""


class ExpiredError(CryptoError):
    """A certificate or a key is not valid at this time: enrol, or agree on a key, again; or look at the clock."""
