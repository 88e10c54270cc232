"""What can go wrong, by what the reader of the message can do about it.

Every message is one line: where, what was found, what was expected, what to do.
"""

import difflib
from collections.abc import Iterable

NAMES_SHOWN = 24
LENGTH_MAX = 1_000  # characters of a message; what was found may be a megabyte


def one_line(text: str) -> str:
    """Return a text without what a terminal would act on, and without its middle if it is too long."""
    line = ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in text)
    return line if len(line) <= LENGTH_MAX else f'{line[:LENGTH_MAX // 2]} … {line[-LENGTH_MAX // 2:]}'


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return what to write in place of a name that is not known: what it may have meant, or what is known."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near or not names:
        return f"did you mean '{near[0]}'?" if near else 'there is none, remove it'
    more = f' or {len(names) - NAMES_SHOWN} others' if len(names) > NAMES_SHOWN else ''
    return f'write one of {", ".join(names[:NAMES_SHOWN])}{more}'


class IomtwinError(Exception):
    """Base of every error that iomtwin raises on purpose."""

    exit_code = 1

    def __str__(self) -> str:
        """Return the message as one line."""
        return one_line(super().__str__())


class InputError(IomtwinError):
    """The scenario, a profile or the command line is wrong: correct it and try again."""

    exit_code = 2


class RunError(IomtwinError):
    """The input was good and the run failed all the same."""
