"""Compiling is told apart from running, which it takes longer than in the first run."""

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from numba import njit
from numba.core import event

from sim import running
from sim.agreement import check_agreement
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
    check_agreement()
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


COMPILES = """
from pathlib import Path
import sim.compiling
if {at}:
    sim.compiling.HERE = Path({at})
from small import double
if {loses} and sim.compiling._use_cache() is not None:
    import shutil
    shutil.rmtree(sim.compiling._use_cache())
    sim.compiling._use_cache().write_text('a file, no folder')
with sim.compiling.compilation_timed() as compilation:
    print(double(3), end=' ')
print('compiled' if compilation.wall_s else 'cached')
"""
SMALL = 'from sim.compiling import compiled\n\n\n@compiled\ndef double(x):\n    return 2 * x\n'
Doubled = Callable[..., str]


@pytest.fixture
def doubled(tmp_path: Path) -> Doubled:
    """Return a function that calls a compiled one in a new process, and returns what that said."""
    (tmp_path / 'small.py').write_text(SMALL)
    (tmp_path / 'cache').mkdir()

    def call(*, cache: str | Path = tmp_path / 'cache', at: str = '', loses: bool = False, **more: str) -> str:
        path = os.pathsep.join((str(tmp_path), str(HERE.parent)))
        environment = {**os.environ, 'PYTHONPATH': path, 'NUMBA_CACHE_DIR': str(cache)}
        done = subprocess.run([sys.executable, '-c', COMPILES.format(at=repr(at), loses=loses)], env=environment | more,
                              capture_output=True, text=True, check=False, timeout=120)
        return done.stdout + done.stderr

    return call


@pytest.mark.parametrize('suffix', ['nbi', 'nbc'])
@pytest.mark.parametrize('damage', [b'', b'\x80\x05\x95', b'garbage', None])
def test_a_damaged_cache_is_made_anew(doubled: Doubled, tmp_path: Path, suffix: str, damage: bytes | None) -> None:
    """Empty, cut off, garbage, gone: compiled again, and in the cache again after that."""
    assert doubled() == '6 compiled\n'
    assert doubled() == '6 cached\n'
    (file,) = (tmp_path / 'cache').rglob(f'*.{suffix}')
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage)
    assert doubled() == '6 compiled\n'
    assert doubled() == '6 cached\n'


def test_without_a_place_for_a_cache_every_process_compiles(doubled: Doubled) -> None:
    """Neither the folder that is named, nor the package's, nor a home can be written."""
    for _ in range(2):
        assert doubled(cache='/proc/nowhere', at='/proc/nowhere', HOME='/proc/nowhere') == '6 compiled\n'


def test_a_cache_that_cannot_be_written_any_more_is_no_mistake(doubled: Doubled) -> None:
    """Its folder is gone when something is to be written there."""
    assert doubled(loses=True) == '6 compiled\n'


def test_compiling_cannot_be_turned_off(doubled: Doubled) -> None:
    """NUMBA_DISABLE_JIT would let draws be made of Python's integers, which are no machine words."""
    assert doubled(NUMBA_DISABLE_JIT='1') == '6 compiled\n'
