"""Files with secrets: read only if nobody else may read them."""

import os
import stat
from pathlib import Path

from sim.errors import InputError


def read_private(path: Path, expected: str, n_bytes_max: int) -> bytes:
    """Return the beginning of a file that nobody else may read.

    Parameters
    ----------
    expected
        What should be in it, for messages.

    Raises
    ------
    InputError
        If it cannot be read, is no regular file, or may be read by others.
    """
    try:
        with open(path, 'rb', opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as stream:  # not a FIFO
            mode = os.fstat(stream.fileno()).st_mode
            text = stream.read(n_bytes_max) if stat.S_ISREG(mode) else b''
    except (OSError, ValueError) as error:
        raise InputError(f'{path}: cannot be read ({getattr(error, "strerror", error)}); expected {expected}') from None
    if not stat.S_ISREG(mode):
        raise InputError(f'{path}: is not a regular file; expected {expected}')
    if stat.S_IMODE(mode) & 0o077:
        raise InputError(f'{path}: may be read by others (mode {stat.S_IMODE(mode):o}); run: chmod 600 {path}')
    return text
