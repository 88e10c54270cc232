"""How long the key, nonce and tag of each AEAD are, and the refusal of all else.

References
----------
.. [1] NIST SP 800-232, 2025, section 4 (Ascon-AEAD128).
.. [2] Dobraunig, Eichlseder, Mendel, Schläffer, "Ascon v1.2", submission to NIST, 2021, 2.2 (Ascon-128, Ascon-128a).
.. [3] FIPS 197, 2001 (AES-128).
.. [4] RFC 8439, 2018, section 2.8 (ChaCha20-Poly1305).
"""

from hil.crypto.errors import CryptoError
from sim.wire import AEAD_NONCE_BYTES, AEAD_TAG_BYTES

KEY_BYTES = {
    'Ascon-AEAD128': 16,  # [1]
    'Ascon-128a': 16,  # [2]
    'Ascon-128': 16,  # [2]
    'AES-128-GCM': 16,  # [3]
    'ChaCha20-Poly1305': 32,  # [4]
}


def check_lengths(name: str, n_key: int, n_nonce: int, n_sealed: int = AEAD_TAG_BYTES) -> None:
    """Refuse what no key, nonce or sealed message of an AEAD can be, by their lengths in bytes.

    Raises
    ------
    CryptoError
        If a length is wrong.
    """
    if n_key != KEY_BYTES[name]:
        raise CryptoError(f'{name}: a key of {n_key} bytes; expected {KEY_BYTES[name]}')
    if n_nonce != AEAD_NONCE_BYTES[name]:
        raise CryptoError(f'{name}: a nonce of {n_nonce} bytes; expected {AEAD_NONCE_BYTES[name]}')
    if n_sealed < AEAD_TAG_BYTES:
        raise CryptoError(f'{name}: a message of {n_sealed} bytes; a tag alone has {AEAD_TAG_BYTES}')
