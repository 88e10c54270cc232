"""Engines run a Model and leave a Recording; they know nothing of YAML, hospitals or cryptography."""

from collections.abc import Callable

Progress = Callable[[float, int], None]  # what an engine tells now and then: simulated seconds, jobs launched
