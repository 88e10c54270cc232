"""Whether engines agree is asked on every computer, for the code that was made for its processor."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sim import running
from sim.agreement import compare, small_hospital
from sim.engines import compiled, reference
from sim.errors import RunError
from sim.loading import load
from tests.results.runs import QUIET

ROOT = Path(__file__).resolve().parents[2]
# What no processor at hand may be: any x86-64, or any 64-bit Arm, has it.
PLAIN = {'NUMBA_CPU_NAME': 'generic', 'NUMBA_CPU_FEATURES': ''}
FIRST = """
from sim.agreement import check_agreement, is_checked
from sim.compiling import processor
from sim.engines.compiled.loop import run_until
assert not is_checked()
check_agreement()
code, = run_until.inspect_llvm().values()
print(processor(), is_checked(), 'inttoptr' in code, len(code))
"""
SECOND = """
from sim import agreement
agreement.reference = agreement.compiled = None  # so that neither can run
agreement.check_agreement()
print('checked before')
"""


def python(code: str, cache: Path) -> str:
    """Return what code prints in a process of its own, with a processor and a cache of its own."""
    environment = {**os.environ, **PLAIN, 'NUMBA_CACHE_DIR': str(cache)}
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, env=environment, capture_output=True, text=True,
                          timeout=900, check=False)
    return done.stdout + done.stderr


def test_engines_agree_on_another_processor_and_are_asked_once(tmp_path: Path) -> None:
    """Code for a processor without extensions says the same times, and makes no pointer of a number.

    A pointer made of a number lost events on some processors and not on others: see `layout`.
    """
    assert re.fullmatch(r'generic True False [0-9]{6,}\n', python(FIRST, tmp_path))
    assert python(SECOND, tmp_path) == 'checked before\n'


def test_what_differs_is_told() -> None:
    """Two runs of unlike models do not agree: one line says so, and what to do."""
    one, other = (reference.run(small_hospital(n), trace='stages') for n in (1, 2))
    with pytest.raises(RunError, match=r'does not agree .* hops, .* use --engine simpy'):
        compare(one, other)


def test_a_time_that_differs_by_a_bit_is_told() -> None:
    """The same run with one time of one hop, or one sum of one device, the least bit greater."""
    one, other = reference.run(small_hospital(1), trace='stages'), compiled.run(small_hospital(1), trace='stages')
    compare(one, other)
    time_s = other.hops['finished_s'][100]
    other.hops['finished_s'][100] = math.nextafter(time_s, math.inf)
    with pytest.raises(RunError, match=r'\(.*: hops\)'):
        compare(one, other)
    other.hops['finished_s'][100] = time_s
    other.busy_s[0, 0] = math.nextafter(other.busy_s[0, 0], math.inf)
    with pytest.raises(RunError, match=r'\(.*: busy_s\)'):
        compare(one, other)


def test_a_run_is_refused_where_engines_do_not_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled engine, asked for or chosen, does not run then; the reference does."""

    def disagree() -> None:
        raise RunError('the engines differ')

    monkeypatch.setattr(running, 'check_agreement', disagree)
    for engine in ('auto', 'compiled'):
        with pytest.raises(RunError, match='the engines differ'):
            running.execute(*load(QUIET), engine=engine, trace='none')  # type: ignore[arg-type]
    assert running.execute(*load(QUIET), engine='simpy', trace='none').recording.n_launched > 0
