"""The reference engine: the exact semantics of a Model, written to be read, on SimPy's event loop.

`engine` leads jobs along their routes; `stations`, `broker` and `transfers` are what they meet on the way;
`clock` orders events; `world` is the seam for controllers.
"""

from sim.engines.reference.engine import Engine, run

__all__ = ['Engine', 'run']
