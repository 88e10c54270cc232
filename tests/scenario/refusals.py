"""How a bad command is refused: in one line, with exit code 2, and with nothing written."""

import re
from collections.abc import Callable

from sim.errors import LENGTH_MAX
from tests.scenario.clinic import edited

TAG = 'devices.tag.streams.vitals'
PATCH = 'devices.patch.streams.vitals'
TAG_PERIOD = 'vitals: {flow: vitals, period: 2 s, payload: 32 B, priority: 2}'

Refuse = Callable[..., str]
VERBS = ('add', 'check', 'correct', 'give', 'keep', 'leave', 'lengthen', 'let', 'make', 'move', 'name', 'remove',
         'rename', 'save', 'say', 'see', 'set', 'shorten', 'split', 'take', 'use', 'write')
REMEDY = re.compile(rf"[;,] (or )?({'|'.join(VERBS)})\b|did you mean '[^']*'\?|--help lists")



def the_line(stderr: str) -> str:
    """Return what follows ``iomtwin:`` if that is all there is, on one printable line of bounded length.

    The line says what to do.
    """
    line = stderr.removesuffix('\n')
    assert line != stderr
    assert line.startswith('iomtwin: ')
    assert line.isprintable()
    assert len(line) <= LENGTH_MAX + len('iomtwin:  … ')
    assert REMEDY.search(line), f'what to do is not said: {line}'
    return line.removeprefix('iomtwin: ')


def says(message: str, *words: str) -> None:
    """Assert that a message holds all words."""
    for word in words:
        assert word in message


def timed_by(name: str) -> str:
    """Return the clinic with a stream timed by a CSV file."""
    return edited(TAG_PERIOD, f'vitals: {{flow: vitals, arrivals: {name}, payload: 32 B}}')
