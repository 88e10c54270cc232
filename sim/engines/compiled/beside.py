"""Arrivals made beside the loop: while it acts on one block, a thread makes the next."""

from concurrent.futures import ThreadPoolExecutor

from sim.sources import Arrivals, Arrived


class ArrivalsBeside:
    """The arrivals of a model, each block made while the one before it is used."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._thread = ThreadPoolExecutor(1, 'arrivals')
        self._next = self._thread.submit(arrivals.next_block)

    def next_block(self) -> Arrived | None:
        """Return the next arrivals in their order, or None when there are no more."""
        block = self._next.result()
        if block is not None:
            self._next = self._thread.submit(self._arrivals.next_block)
        return block

    def close(self) -> None:
        """Make no more; wait for the block that is being made."""
        self._thread.shutdown(cancel_futures=True)
