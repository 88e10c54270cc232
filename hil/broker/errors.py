"""What goes wrong between us and a broker, by what the program or the user can do about it."""

from sim.errors import RunError


class BrokerError(RunError):
    """Base of what is raised for a broker."""


class UnavailableError(BrokerError):
    """There is no connection, or it was lost: connecting again may help."""


class BlockedError(UnavailableError):
    """The broker takes no messages for want of memory or disk, and has done so for too long."""


class RefusedError(BrokerError):
    """The broker, or who claims to be it, was reached, and connecting again would be refused as well."""


class MissingError(RefusedError):
    """There is no queue or exchange of that name."""
