"""What can go wrong, by what the reader of the message can do about it.

Every message is one line: where, what was found, what was expected, what to do.
"""


class IomtwinError(Exception):
    """Base of every error that iomtwin raises on purpose."""

    exit_code = 1


class InputError(IomtwinError):
    """The scenario, a profile or the command line is wrong: correct it and try again."""

    exit_code = 2


class RunError(IomtwinError):
    """The input was good and the run failed all the same."""
