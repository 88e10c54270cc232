"""Whether engines agree is asked on every computer, for the code that was made for its processor."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sim.agreement import check_agreement, compare, everything, is_checked
from sim.compiling import witness
from sim.engines import compiled, reference
from sim.errors import RunError

ROOT = Path(__file__).resolve().parents[2]
# What no processor at hand may be: any x86-64, or any 64-bit Arm, has it.
PLAIN = {'NUMBA_CPU_NAME': 'generic', 'NUMBA_CPU_FEATURES': ''}
CHECK = """
from sim.agreement import check_agreement, is_checked
from sim.compiling import processor
from sim.engines.compiled.loop import run_until
assert not is_checked()
check_agreement()
code, = run_until.inspect_llvm().values()
print(processor(), is_checked(), 'inttoptr' in code, len(code))
"""


def test_engines_agree_on_another_processor(tmp_path: Path) -> None:
    """Code for a processor without extensions says the same times, and makes no pointer of a number.

    A pointer made of a number lost events on some processors and not on others: see `layout`.
    """
    environment = {**os.environ, **PLAIN, 'NUMBA_CACHE_DIR': str(tmp_path)}
    done = subprocess.run([sys.executable, '-c', CHECK], cwd=ROOT, env=environment, capture_output=True, text=True,
                          timeout=900, check=False)
    assert re.fullmatch(r'generic True False [0-9]{6,}\n', done.stdout), done.stdout + done.stderr


def test_what_differs_is_told() -> None:
    """Two runs of unlike models do not agree: one line says so, and what to do."""
    one, other = (reference.run(everything(n), trace='stages') for n in (1, 2))
    with pytest.raises(RunError, match=r'does not agree .* use --engine simpy'):
        compare(one, other)


def test_a_time_that_differs_by_a_bit_is_told() -> None:
    """The same run with one time of one hop a little later."""
    one, other = reference.run(everything(1), trace='stages'), compiled.run(everything(1), trace='stages')
    compare(one, other)
    other.hops['finished_s'][100] *= 1.0 + 1e-15
    with pytest.raises(RunError, match='does not agree'):
        compare(one, other)


def test_engines_are_compared_once() -> None:
    """What was found is noted beside the code that it was found of."""
    check_agreement()
    assert is_checked()
    noted = witness('engines-agree')
    assert noted is not None
    assert noted.exists()
