"""A twin in a process of its own, which somebody kills: what the test of two twins starts.

It reads where the broker is, does telemetry, leaves messages in a queue, says what became of it, and takes replies
until it is killed, or its input is closed.
"""

import json
import select
import sys
from pathlib import Path
from types import SimpleNamespace

from hil.broker.connection import Endpoint
from hil.broker.credentials import Credentials
from tests.worker.rounds import assert_exactly_once, records, telemetry
from tests.worker.twin import twin


def main() -> None:
    """Do it."""
    words = json.loads(sys.stdin.readline())
    broker = SimpleNamespace(endpoint=Endpoint(words['url'], Path(words['ca'])),
                             users={role: Credentials(**user) for role, user in words['users'].items()})
    with twin(broker, Path(words['folder'])) as made:
        node = made.start('crypto', 'pi-1')
        made.wait_until_ready()
        made.launch_all(telemetry(made, 100))
        assert_exactly_once(made, 100)
        counts = {outcome: n for outcome, n in made.ledger.counts.items() if n}
        for message in records(made, 20, first_job=1000):
            made.launch(message)
        print(json.dumps({'run': made.run, 'counts': counts, 'worker': node.process.pid}), flush=True)
        while not select.select([sys.stdin], [], [], 0)[0]:
            made.take(1.0)


if __name__ == '__main__':
    main()
