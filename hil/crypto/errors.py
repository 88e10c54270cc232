"""What every primitive raises for what does not open, verify or decapsulate.

No message holds a secret, nor what was being sealed: it says which primitive refused, and what it refused.
"""

from sim.errors import IomtwinError


class CryptoError(IomtwinError):
    """A message, a key or a signature was refused: drop it and count it."""


class ReplayError(CryptoError):
    """A nonce or an epoch that was used, or an exchange that is over: drop the message and count it apart."""


class ExhaustedError(CryptoError):
    """A key has been used as much as it may be: agree on a new one."""
