"""A program that owns a private broker, and can be ended in any way: what the tests of its end start.

``owner.py STAGE THEN``: while the broker is ``booting``, once it is ``ready``, or ``again`` ready after a restart, says
where it is; then it waits for a signal (``wait``) or raises (``raise``).
"""

import json
import sys
import time

from hil.broker.private import PrivateBroker


def main(stage: str, then: str) -> None:
    """Own a broker up to a stage."""
    broker = PrivateBroker(progress=lambda _: end(broker, then) if stage == 'booting' else None)
    with broker:
        if stage == 'again':
            broker.restart(is_killed=True)
        end(broker, then)


def end(broker: PrivateBroker, then: str) -> None:
    """Say where it is and go on as told."""
    print(json.dumps({'folder': str(broker.paths.folder), 'pids': broker.pids}), flush=True)
    if then == 'wait':
        while True:  # a signal that comes just before a wait without end would not end it
            time.sleep(0.1)
    if then == 'raise':
        raise ZeroDivisionError


if __name__ == '__main__':
    main(*sys.argv[1:])
