"""Arrivals that are looked at before they are due, so that devices can make their bytes in time."""

from collections import deque
from collections.abc import Iterator
from typing import Any

from sim.model import Model
from sim.sources import Arrivals, Arrived


class ArrivalsAhead(Arrivals):
    """The arrivals of a model: in blocks for the engine and, earlier, one by one for whoever prepares them."""

    def __init__(self, model: Model, run_key: int) -> None:
        super().__init__(model, run_key)
        self._made = deque[Arrived]()  # blocks that the engine has not asked for
        self._unseen = deque[tuple[Any, ...]]()  # rows that nobody has looked at

    def next_block(self) -> Arrived | None:
        """Return the next arrivals in their order, or None when there are no more."""
        if not self._made:
            self._make()
        return self._made.popleft() if self._made else None

    def look_ahead(self, until_s: float) -> Iterator[tuple[Any, ...]]:
        """Yield each arrival up to a time, once: its time, event key, job key, entity, stream and number."""
        while (self._unseen and self._unseen[0][0] <= until_s) or (not self._unseen and self._make()):
            if self._unseen and self._unseen[0][0] <= until_s:
                yield self._unseen.popleft()

    def _make(self) -> bool:
        """Make a block; return whether there is one."""
        block = super().next_block()
        if block is None:
            return False
        self._made.append(block)
        self._unseen.extend(block.tolist())
        return True
