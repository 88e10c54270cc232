"""Numba, with a cache that cannot be stale.

Numba keys a function's cache by the file that the function is in, not by the files of the functions that it calls: a
changed law would leave callers in other files running the old one. Here the cache lies in a folder named after the
contents of all compiled files, so that any change compiles anew.
"""
# mypy: allow-untyped-calls

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from numba import njit
from numba.core import config as numba_config
from numba.core import event
from numba.core.caching import FunctionCache
from numba.core.registry import cpu_target

Function = TypeVar('Function', bound=Callable[..., Any])

HERE = Path(__file__).resolve().parent
# What compiled code is made of: its functions, the constants and records that it takes from others, and how it is made.
COMPILED = ('laws.py', 'sources.py', 'model.py', 'results/histogram.py', 'results/recording.py',
            'engines/compiled/*.py', 'compiling.py')
CACHES_KEPT = 4  # of other versions, for checkouts that switch back and forth

config: Any = numba_config  # its settings are made at run time
config.DISABLE_JIT = 0  # draws are made of machine words, which Python's integers are not


@cache
def _use_cache() -> Path | None:
    """Point Numba to the cache of this version of the code, in the user's folder for caches if one is named; return it.

    None: no folder can be written, and each process compiles for itself.
    """
    named = [Path(config.CACHE_DIR)] if config.CACHE_DIR else []
    for root in (*named, HERE / '__pycache__', Path.home() / '.cache' / 'iomtwin'):
        try:
            folder = root / f'numba-{_digest(COMPILED)}'
            folder.mkdir(parents=True, exist_ok=True)
            (folder / '.used').touch()
        except OSError:
            continue
        config.CACHE_DIR = str(folder)
        others = sorted((path for path in root.glob('numba-*') if path != folder), key=lambda p: p.stat().st_mtime)
        for path in others[:-CACHES_KEPT]:
            shutil.rmtree(path, ignore_errors=True)
        return folder
    return None


class _Cache(FunctionCache):
    """Numba's cache of one function: what cannot be read of it, or written, is as if it were not there."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # what reading a damaged file raises can be anything
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):
            super().save_overload(sig, data)


def _digest(patterns: tuple[str, ...]) -> str:
    """Return what changes with the contents of any of the files."""
    digest = hashlib.sha256()
    for pattern in patterns:
        for path in sorted(HERE.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def processor() -> str:
    """Return the name under which LLVM makes code for this processor."""
    return str(cpu_target.target_context.codegen().magic_tuple()[1])


def witness(of: str) -> Path | None:
    """Return the file of the cache whose existence says something of all our code, made for this processor.

    None: there is no cache.
    """
    folder = _use_cache()
    if folder is None:
        return None
    made_by = (*cpu_target.target_context.codegen().magic_tuple(), *map(metadata.version, ('numba', 'llvmlite')))
    of_processor = hashlib.sha256(repr(made_by).encode()).hexdigest()[:16]
    return folder / f'{of}-{_digest(("**/*.py",))}-{of_processor}'


@dataclass
class Compilation:
    """What compiling took, s, from a time on."""

    wall_s: float = 0.0


@contextmanager
def compilation_timed() -> Iterator[Compilation]:
    """Add up the time that functions are compiled for inside the block; it is known at the block's end."""
    timed = Compilation()

    def add(seconds: float) -> None:
        timed.wall_s = seconds

    with event.install_timer('numba:compile', add):  # a function that another one calls counts within that one
        yield timed


def compiled(function: Function) -> Function:
    """Compile a function when it is first called, or take it from the cache."""
    return _jit(function, nogil=False)


def compiled_beside(function: Function) -> Function:
    """Compile a function that takes long, and lets other threads go on meanwhile."""
    return _jit(function, nogil=True)


def _jit(function: Function, *, nogil: bool) -> Function:
    # Without calls, and their checks for exceptions that nothing raises, the stars of benchmarks/ take a fifth less.
    dispatcher: Any = njit(forceinline=True, error_model='numpy', nogil=nogil)(function)
    if _use_cache() is not None:
        dispatcher._cache = _Cache(function)  # as cache=True does, with Numba's own  # noqa: SLF001
    return dispatcher  # type: ignore[no-any-return]  # called like the function that it is made from
