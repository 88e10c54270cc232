"""HKDF-SHA256: from one secret to keys that say nothing of each other.

References
----------
.. [1] RFC 5869, "HMAC-based Extract-and-Expand Key Derivation Function (HKDF)", 2010.
"""

import hmac

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from hil.crypto.errors import CryptoError

BYTES_MAX = 255 * 32  # [1] section 2.3: 255 times the length of a SHA-256


def derive(secret: bytes, info: bytes, n_bytes: int = 32, salt: bytes = b'') -> bytes:
    """Return key material that depends on a secret and on what it is for; [1] section 2.

    Raises
    ------
    CryptoError
        If more is asked for than the function may give.
    """
    _check(n_bytes)
    return HKDF(hashes.SHA256(), n_bytes, salt, info).derive(secret)


def extract(secret: bytes, salt: bytes = b'') -> bytes:
    """Return a uniform key made of a secret that may not be uniform; [1] section 2.2."""
    return hmac.digest(salt, secret, 'sha256')


def expand(key: bytes, info: bytes, n_bytes: int = 32) -> bytes:
    """Return key material made of an extracted key; [1] section 2.3.

    Raises
    ------
    CryptoError
        If more is asked for than the function may give.
    """
    _check(n_bytes)
    return HKDFExpand(hashes.SHA256(), n_bytes, info).derive(key)


def label(*parts: bytes) -> bytes:
    """Return parts, each with its length before it, so that no two lists of parts give the same bytes."""
    return b''.join(len(part).to_bytes(2, 'big') + part for part in parts)


def _check(n_bytes: int) -> None:
    if not 0 < n_bytes <= BYTES_MAX:
        raise CryptoError(f'HKDF-SHA256: {n_bytes} bytes asked for; it gives 1 to {BYTES_MAX}')
