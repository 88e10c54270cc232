"""A program that starts one process apart, its first, and prints which signals that does not hear."""

import signal
from multiprocessing.connection import Connection

from hil.paced.apart import Apart


def tell(pipe: Connection) -> None:
    """Send the names of the signals that are held back."""
    pipe.send(sorted(each.name for each in signal.pthread_sigmask(signal.SIG_BLOCK, [])))


if __name__ == '__main__':
    with Apart(tell) as apart:
        print(*apart.receive())
