"""Devices: subjects that seal what they measure, and open what is sent to them or to a group that they are in."""

from hil.keys.messages import Kind
from hil.keys.subjects import Subject


class Device(Subject):
    """A wearable, a monitor, or anything else that has data; its ring seals only under its newest activated epoch."""

    def take_group_key(self, raw: bytes, now: float) -> tuple[bytes, int]:
        """Open messages to a group from now on; return the group's id and the epoch of its key.

        Raises
        ------
        CryptoError
            As `KeyRing.open` and `KeyRing.install` have it.
        """
        _, group, epoch = self._take_key(Kind.GROUP_KEY, raw, now)
        return group, epoch
