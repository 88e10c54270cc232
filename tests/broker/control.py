"""RabbitMQ's own command for a private broker, which the product does without."""

import os
import subprocess
from pathlib import Path

from hil.broker.installation import find_server
from hil.broker.private import PrivateBroker
from tests.broker.processes import PATIENCE_S


def rabbitmqctl(broker: PrivateBroker, *arguments: str) -> str:
    """Return what the command prints, run with the environment of the broker: its name, cookie and port mapper."""
    environ = Path(f'/proc/{broker.pids[1]}/environ').read_bytes().split(b'\0')
    environment = dict(os.fsdecode(each).split('=', 1) for each in environ if each)
    return subprocess.run([find_server().parent / 'rabbitmqctl', *arguments], env=environment, text=True, check=True,
                          capture_output=True, timeout=PATIENCE_S).stdout
