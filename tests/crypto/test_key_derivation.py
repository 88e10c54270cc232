"""HKDF-SHA256 to its published answers, whole and in its two steps."""

import pytest

from hil.crypto.errors import CryptoError
from hil.crypto.key_derivation import BYTES_MAX, derive, expand, extract

# RFC 5869 appendix A.1 to A.3: secret, salt, info, extracted key, output.
ANSWERS = [
    (b'\x0b' * 22, bytes(range(13)), bytes(range(0xf0, 0xfa)),
     '077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5',
     '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865'),
    (bytes(range(0x50)), bytes(range(0x60, 0xb0)), bytes(range(0xb0, 0x100)),
     '06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244',
     ('b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8'
     '367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87')),
    (b'\x0b' * 22, b'', b'', '19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04',
     '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8'),
]


@pytest.mark.parametrize(('secret', 'salt', 'info', 'key', 'output'), ANSWERS)
def test_published_answers(secret: bytes, salt: bytes, info: bytes, key: str, output: str) -> None:
    """RFC 5869 appendix A: the extracted key and the output, at once and step by step."""
    n_bytes = len(output) // 2
    assert extract(secret, salt).hex() == key
    assert expand(bytes.fromhex(key), info, n_bytes).hex() == output
    assert derive(secret, info, n_bytes, salt).hex() == output


def test_what_it_is_for_separates_keys() -> None:
    """Another secret, purpose or salt gives another key; a shorter key is the beginning of a longer one."""
    a, b = b'a' * 32, b'b' * 32
    keys = [derive(a, b'x'), derive(b, b'x'), derive(a, b'y'), derive(a, b'x', salt=b's')]
    assert len(set(keys)) == 4
    assert derive(a, b'x', 16) == keys[0][:16]


@pytest.mark.parametrize('n_bytes', [-1, 0, BYTES_MAX + 1])
def test_more_than_it_may_give_is_refused(n_bytes: int) -> None:
    """RFC 5869 section 2.3: at most 255 blocks."""
    for give in (derive, expand):
        with pytest.raises(CryptoError, match='asked for'):
            give(bytes(32), b'', n_bytes)
    assert len(expand(bytes(32), b'', BYTES_MAX)) == BYTES_MAX
