"""iomtwin's model of a hospital: from a scenario file to a run's results.

`load` reads a scenario and `run` simulates it; see `sim.api`. Both are imported when they are first asked for, so that
a module like `sim.errors` does not wait for Numba.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.api import LoadedScenario, Results, load, run

__all__ = ['LoadedScenario', 'Results', 'load', 'run']


def __getattr__(name: str) -> Any:
    """Return a name of the API."""
    if name not in __all__:
        raise AttributeError(f'module sim has no attribute {name}')
    from sim import api  # noqa: PLC0415 (that is what this function is for)

    return getattr(api, name)
