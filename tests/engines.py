"""The engines that every test of engine semantics runs through: one body, every engine."""

from collections.abc import Callable

from sim.engines.reference import run
from sim.recording import Recording

Engine = Callable[..., Recording]  # (model, *, trace, controllers) -> Recording

ENGINES: dict[str, Engine] = {'simpy': run}
