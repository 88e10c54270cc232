"""The compiled engine: the reference engine's semantics in Numba, for hospital days and regions.

The words are the reference engine's. `loop` takes the events in their order; `journey`, `stations` and `broker` act on
them; `pools` and `books` hand out slots and write down what happened; `heap` orders. `layout` and `memory` are the
tables they work on, `engine` is what happens between the loop's pauses, `world` the seam for controllers.

Four things differ from the reference and none can be seen: waiting work stands in linked lists, sources are merged
before the heap, so are events that come in their order by themselves, and the slots of what has ended are used again.
"""

from sim.engines.compiled.engine import Engine, run

__all__ = ['Engine', 'run']
