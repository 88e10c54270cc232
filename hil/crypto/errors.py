"""What every primitive raises for what does not open, verify or decapsulate.

No message holds a secret, nor what was being sealed: it says which primitive refused, and what it refused.
"""

from sim.errors import IomtwinError


class CryptoError(IomtwinError):
    """A message, a key or a signature was refused: drop it and count it."""


class ReplayError(CryptoError):
    """A message came under a nonce that another message had: drop it and count it apart."""
