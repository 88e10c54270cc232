"""Compiling is told apart from running, which it takes longer than in the first run."""

import ast
from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from numba import njit
from numba.core import event

from sim import running
from sim.compiling import COMPILED, HERE, compilation_timed
from sim.loading import load
from sim.results.recording import Recording
from tests.results.runs import QUIET


def test_the_cache_is_named_after_all_that_compiled_code_is_made_of() -> None:
    """What a module with compiled functions takes from a module of ours is frozen into them: that module must count."""
    counted = {path for pattern in COMPILED for path in HERE.glob(pattern)}
    n_taken = 0
    for path in sorted(counted):
        text = path.read_text('utf-8')
        if '@compiled' not in text and path.name != 'layout.py':
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('sim.'):
                n_taken += 1
                taken = HERE.joinpath(*str(node.module).split('.')[1:]).with_suffix('.py')
                assert taken in counted, f'{path.name} takes {[name.name for name in node.names]} from {taken.name}'
    assert n_taken > 20


def fresh() -> Any:
    """Return a function that nobody has compiled, which calls another one."""
    inner = njit(lambda x: x + 1)
    return njit(lambda x: inner(x) * 2)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[], float]:
    """Let Numba time what it compiles by a clock that goes on by a second each time that it is read."""
    reads = count()

    def read() -> float:
        return float(next(reads))

    monkeypatch.setattr(event, 'timer', read)
    return read


def test_compilation_counts_once_and_only_when_it_happens(clock: Callable[[], float]) -> None:
    """A first call counts, with the function inside it, as no more than what passed by its clock; a second is free."""
    function, begin_s = fresh(), clock()
    with compilation_timed() as first:
        assert function(1) == 4
    passed_s = clock() - begin_s
    with compilation_timed() as second:
        assert function(2) == 6
    assert 0.0 < first.wall_s < passed_s
    assert second.wall_s == 0.0


@pytest.mark.usefixtures('clock')
def test_the_time_of_an_engine_is_without_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of a million seconds in which something is compiled: that is told apart, and both make the million."""
    run_model = running.run_model

    def compile_first(*arguments: Any, **options: Any) -> Recording:
        fresh()(1)
        return run_model(*arguments, **options)

    monkeypatch.setattr(running, 'run_model', compile_first)
    lowered, reads = running.prepare(*load(QUIET)), count(step=1_000_000)
    monkeypatch.setattr(running, 'time', SimpleNamespace(perf_counter=lambda: float(next(reads))))
    execution = running.execute_lowered(lowered, trace='none')
    compile_s = execution.compile_wall_s - lowered.compile_wall_s
    assert compile_s >= 1.0
    assert execution.engine_wall_s == 1_000_000.0 - compile_s > 0.0
