"""The learning of a run on hardware: the model of a round, its clients' updates, and what is averaged.

The simulated server chooses clients and closes rounds; here is only what the bytes are. If the server's place is bound,
its average is the next round's model; if it is simulated, the model stays as it was: times do not depend on it.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from hil import learning
from hil.worker.learning import Parameters


class Rounds:
    """The state of learning between messages.

    Parameters
    ----------
    model_bytes
        Of the scenario's model; the network that is really trained is the nearest in size.
    seed
        Of the first model.
    """

    def __init__(self, model_bytes: int, seed: int) -> None:
        self._values = learning.initial_model(np.random.default_rng(seed), learning.hidden_units(model_bytes))
        self._round = -1
        self._updates: list[Parameters] = []
        self._members: set[int] = set()  # jobs of the present round

    @property
    def sha256(self) -> str:
        """What names the present model: the same scenario and seed, whatever happened on the way, have the same one."""
        return hashlib.sha256(self._values).hexdigest()

    def begin(self) -> None:
        """Begin a round: its model is about to be published."""
        self._round += 1
        self._updates, self._members = [], set()

    def model_for(self, job: int, client: int, samples: int) -> bytes:
        """Return the body that a client of this round gets."""
        self._members.add(job)
        return Parameters(self._round, client, samples, 1, self._values).to_bytes()

    def published(self) -> bytes:
        """Return the model as the server publishes it."""
        return Parameters(self._round, 0, 1, 1, self._values).to_bytes()

    def add(self, job: int, body: bytes) -> None:
        """Take a client's opened update; one of an earlier round is late, and nobody waits for it."""
        if job in self._members:
            self._updates.append(Parameters.from_bytes(body))

    def to_average(self) -> Sequence[bytes]:
        """Return the updates that are here as bodies for the server, each with the number of all."""
        n = len(self._updates)
        return [Parameters(each.round, each.client, each.samples, n, each.values).to_bytes()
                for each in self._updates]

    def average(self, body: bytes) -> None:
        """Take the average, which is the model of the next round."""
        self._values = Parameters.from_bytes(body).values
