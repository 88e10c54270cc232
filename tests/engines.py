"""The engines that every test of engine semantics runs through: one body, every engine."""

from collections.abc import Callable

from sim.engines import compiled, reference
from sim.results.recording import Recording

Engine = Callable[..., Recording]  # (model, *, trace, controllers) -> Recording

ENGINES: dict[str, Engine] = {'simpy': reference.run, 'compiled': compiled.run}
