"""Output as a command needs it: written at once, so that an output which takes no more shows itself here."""

import os
import sys
from contextlib import suppress

from rich.console import Console, RenderableType

from sim.errors import RunError

PIPED_COLUMNS = 110  # of output that goes to a file
CLOSED = 141  # 128 + SIGPIPE: whoever read the output has read enough


def show(table: RenderableType) -> None:
    """Print a table as wide as the terminal; wider than a usual one where there is none."""
    console = Console()
    if not console.is_terminal and 'COLUMNS' not in os.environ:
        console = Console(width=PIPED_COLUMNS)
    with console.capture() as captured:
        console.print(table)
    say(captured.get())


def say(text: str) -> None:
    """Print a text now.

    Raises
    ------
    SystemExit
        If nobody reads any more.
    RunError
        If the output takes no more for another reason.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
        raise SystemExit(CLOSED) from None
    except OSError as error:
        discard_output()
        raise RunError(f'the output cannot be written ({error.strerror}); make room, or send it elsewhere') from None


def discard_output() -> None:
    """Send what is left of the output to nowhere: Python would try again at its end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
