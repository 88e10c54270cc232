"""The names of a run's exchanges and queues, and who may do what with them.

==========================  ==================================================================
``iomtwin.RUN.PLACE``       direct exchange of a place; the routing key is a priority class
``iomtwin.RUN.PLACE.N``     queue of a place and the priority class N
``iomtwin.RUN.reply``       exchange and queue of what comes back to the twin
``iomtwin.RUN.dead``        exchange and queue of what was rejected
``iomtwin-runs``            exchange and queue that remember which runs there are
==========================  ==================================================================

Whoever may write to the default exchange reaches every queue of a broker, so nobody may: each place has an exchange of
its own. A right is a regular expression over names; these mean the same to Erlang and to Python.
"""

import re
import secrets
from dataclasses import dataclass
from typing import Literal, get_args

from sim.errors import InputError

Place = Literal['crypto', 'server', 'authority']  # what workers may offer
Role = Literal['twin', 'crypto', 'server', 'authority']  # who has credentials
WORKER_PLACES: tuple[Place, ...] = get_args(Place)
ROLES: tuple[Role, ...] = get_args(Role)

ANY_RUN = '[a-z0-9][a-z0-9-]{0,39}'  # what the name of a run looks like
N_PRIORITIES = 10  # one digit; a scenario has fewer
REPLY, DEAD = 'reply', 'dead'
RUNS, RUNS_LOCK = 'iomtwin-runs', 'iomtwin-runs-lock'
NOTHING = '^$'


@dataclass(frozen=True)
class Rights:
    """What a user may declare and delete, publish to, and consume from: regular expressions over names."""

    configure: str
    write: str
    read: str


def new_run() -> str:
    """Return a name that no other run has."""
    return secrets.token_hex(8)  # 64 bits: two of a million runs are alike with 3e-8


def check_run(run: str) -> str:
    """Return the name of a run.

    Raises
    ------
    InputError
        If it is none.
    """
    if not re.fullmatch(ANY_RUN, run):
        raise InputError(f"run '{run}': expected 1 to 40 lower-case letters, digits and hyphens; correct it")
    return run


def exchange_of(run: str, place: str) -> str:
    """Return the name of the exchange of a place, of `REPLY` or of `DEAD`; the latter two are names of queues too."""
    return f'iomtwin.{check_run(run)}.{place}'


def queue_of(run: str, place: Place, priority: int) -> str:
    """Return the name of the queue of a place and a priority class."""
    return f'{exchange_of(run, place)}.{key_of(priority)}'


def key_of(priority: int) -> str:
    """Return the routing key of a priority class."""
    if not 0 <= priority < N_PRIORITIES:
        raise InputError(f'priority {priority}: expected 0 to {N_PRIORITIES - 1}')
    return str(priority)


def rights(role: Role, run: str | None = None) -> Rights:
    """Return what a role may do in one run, or in every run if none is named.

    The twin declares, and does what it likes with the names of its run. A place reads its own queues and writes to the
    exchanges it feeds, which are those of the other places, of the reply and of dead letters; it declares nothing.
    """
    runs = ANY_RUN if run is None else re.escape(check_run(run))
    if role == 'twin':
        own = rf'^(iomtwin\.{runs}\..*|{RUNS}|{RUNS_LOCK})$'
        return Rights(own, own, own)
    fed = '|'.join([*(place for place in WORKER_PLACES if place != role), REPLY, DEAD])
    return Rights(NOTHING, write=rf'^iomtwin\.{runs}\.({fed})$', read=rf'^iomtwin\.{runs}\.{role}\.[0-9]$')
