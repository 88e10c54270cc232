"""The compiled engine: the reference engine's semantics in Numba, for hospital days and regions.

The words are the reference engine's. `loop` takes the events in their order; `journey`, `stations` and `broker` act on
them; `pools` and `books` hand out slots and write down what happened; `heap` orders. `layout` and `memory` are the
tables they work on, `engine` is what happens between the loop's pauses, `world` the seam for controllers.

Some things differ from the reference, and none can be seen: waiting work stands in linked lists (`stations`, `broker`),
the slots of what has ended are used again (`pools`), sources are merged before the heap and made by a thread (`loop`,
`beside`), events that come in their order by themselves are lists too (`convoys`, `heap`), so are the jobs of a launch
(`loop`), and memory is asked for before it is needed (`ahead`).
"""

from sim.engines.compiled.engine import Engine, run

__all__ = ['Engine', 'run']
