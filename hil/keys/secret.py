"""Bytes that are overwritten when they are no longer needed."""

from typing import NoReturn


class Secret:
    """A secret of ours; gone for good once it is erased.

    What `reveal` returns is a copy that cannot be overwritten: callers use it at once and do not keep it.
    """

    def __init__(self, value: bytes) -> None:
        self._value = bytearray(value)

    def reveal(self) -> bytes:
        """Return the secret.

        Raises
        ------
        AssertionError
            If it was erased: zeros would be a key that everybody knows.
        """
        if not self._value:
            raise AssertionError('a secret was used after it had been erased')
        return bytes(self._value)

    def erase(self) -> None:
        """Overwrite the secret; nothing happens the second time."""
        self._value[:] = bytes(len(self._value))
        self._value = bytearray()

    def __repr__(self) -> str:
        """Say nothing of the secret."""
        return 'Secret()'

    def __reduce__(self) -> NoReturn:
        """Refuse to be copied or pickled: a copy would not be erased."""
        raise TypeError('a secret cannot be copied or pickled')
