"""Run folders as they lie on disk: read, and written whole or not at all.

``results/<scenario>-<hash8>/seed-<n>/`` holds the manifest, the resolved scenario and the tables. What is written
goes to a hidden name beside its place, which it takes when it is complete. The analysis reads folders through
`read_run` and knows nothing of engines; `sim.results.contents` says what a run folder is filled with.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import glob
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from sim.errors import InputError, RunError, suggestion
from sim.results.files import COLUMNS, Manifest, SummaryRow, read_json, read_table, read_tree
from sim.yaml_source import read_file

PARTIAL, OLD = '.partial', '.old'
ABANDONED_S = 60.0  # who makes a folder locks it in less time
REPLACEMENTS_MAX = 100
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


@dataclass(frozen=True)
class Run:
    """One run folder."""

    folder: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What was run, with what, and whether it counts."""
        loaded: dict[str, Any] = read_json(self.folder / 'manifest.json', Manifest)
        return loaded

    @cached_property
    def summary(self) -> list[dict[str, Any]]:
        """The metrics, one row each."""
        loaded: list[dict[str, Any]] = read_json(self.folder / 'summary.json', list[SummaryRow])
        return loaded

    @property
    def scenario_text(self) -> str:
        """The resolved scenario, as YAML."""
        path = self.folder / 'scenario.yaml'
        return read_file(path, str(path))

    @property
    def scenario(self) -> dict[str, Any]:
        """The resolved scenario as it stands in its file."""
        return read_tree(self.folder / 'scenario.yaml')

    @property
    def is_measured(self) -> bool:
        """Whether it is a run on hardware."""
        return bool(self.manifest.get('world') == 'hil')

    def reasons(self) -> list[str]:
        """Return why the run must not be averaged with others; nothing if it may be."""
        if self.manifest.get('is_valid', True):
            return []
        found: str | list[str] = self.manifest.get('invalid_because') or 'its manifest does not say why'
        return [found] if isinstance(found, str) else found

    def check_valid(self) -> None:
        """Return if the run may be compared with others, and averaged.

        Raises
        ------
        InputError
            If it may not, with the first reason.
        """
        if reasons := self.reasons():
            raise InputError(f"'{self.folder}' is not valid ({reasons[0]}); leave it out, or make it again")

    def table(self, name: str) -> pl.DataFrame:
        """Return a table by its name without ending; empty when the run has none.

        Raises
        ------
        InputError
            If no run has a table of this name, or the file is damaged.
        """
        if name not in COLUMNS:
            raise InputError(f"'{name}' is no table of a run; {suggestion(name, COLUMNS)}")
        path = self.folder / f'{name}.parquet'
        trace, is_measured = self.manifest.get('trace', 'none'), self.is_measured
        due = {'jobs': trace != 'none', 'stages': trace == 'stages' and not is_measured, 'devices': not is_measured,
               'stations': not is_measured, 'chains': is_measured, 'work': is_measured}
        return read_table(path, name) if due.get(name) or path.exists() else pl.DataFrame()


def read_run(folder: str | Path) -> Run:
    """Open a run folder.

    Raises
    ------
    InputError
        If the folder is not one.
    """
    run = Run(Path(folder))
    if not _is_file(run.folder / 'manifest.json') or not _is_file(run.folder / 'summary.json'):
        raise InputError(f"'{folder}' is not a run folder; expected manifest.json and summary.json in it; "
                         'name another, or make the run again')
    return run


def find_runs(folder: Path) -> list[Run]:
    """Return the run in a folder, or the runs of all seeds below it.

    Raises
    ------
    InputError
        If there is none.
    """
    if _is_file(folder / 'manifest.json'):
        return [read_run(folder)]
    found = (path.parent for path in folder.glob('seed-*/manifest.json')) if os.path.isdir(folder) else ()  # noqa: PTH112
    runs = [read_run(path) for path in sorted(found, key=lambda path: (len(path.name), path.name))]
    if not runs:
        raise InputError(f"'{folder}' holds no run; give a run folder, a scenario's folder or a .yaml file")
    return runs


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises if the name is too long, or may not be looked at


@contextmanager
def complete_folder(target: Path) -> Iterator[Path]:
    """Give a hidden folder to write to, and rename it to `target` at the end; on any error remove it.

    A complete folder that is already there is put aside first and then removed; of processes that write to one target
    the last wins. What a process left of the same target that was killed is removed.

    Raises
    ------
    RunError
        If the disk is full, or refuses for another reason.
    """
    partial = _partial(target)
    missing = [parent for parent in target.parents if not os.path.lexists(parent)]
    try:
        with _told(target):
            _remove_abandoned(target)
            _make(partial)
            with _held(partial):
                yield partial
                _replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        for parent in missing:  # from the inside; one that holds something stays
            with suppress(OSError):
                parent.rmdir()


@contextmanager
def complete_file(target: Path) -> Iterator[Path]:
    """Give a hidden file to write to, and rename it to `target` at the end; on any error remove it.

    Raises
    ------
    RunError
        If the disk is full, or refuses for another reason.
    """
    partial = _partial(target)
    try:
        with _told(target):
            yield partial
            partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _partial(target: Path) -> Path:
    return target.parent / f'.{target.name}.{os.getpid()}-{secrets.token_hex(4)}{PARTIAL}'


@contextmanager
def _told(target: Path) -> Iterator[None]:
    """Tell what a disk refuses in words for its owner."""
    try:
        yield
    except OSError as error:
        raise RunError(f'{target}: cannot be written ({error.strerror or error}); make room, or choose another folder '
                       'with --out') from error


@contextmanager
def _held(partial: Path) -> Iterator[None]:
    """Lock a folder, as far as its file system can, to tell others that somebody works at it."""
    place = os.open(partial, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(place)


def _remove_abandoned(target: Path) -> None:
    """Remove the hidden folders of a target at which nobody works any more."""
    for partial in target.parent.glob(f'.{glob.escape(target.name)}.*{PARTIAL}'):
        with suppress(OSError):  # it is gone, is held, or cannot be locked
            place = os.open(partial, os.O_RDONLY)
            try:
                fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.time() - os.fstat(place).st_mtime > ABANDONED_S:
                    shutil.rmtree(partial, ignore_errors=True)
            finally:
                os.close(place)


def remove_partial(parent: Path, pid: int) -> None:
    """Remove what a process that was killed had not finished."""
    for partial in parent.glob(f'.*.{pid}-*{PARTIAL}'):
        shutil.rmtree(partial, ignore_errors=True)


def _make(partial: Path) -> None:
    """Make a folder and those around it, which a process that has failed may be removing."""
    for _ in range(REPLACEMENTS_MAX):
        partial.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            partial.mkdir()
            return
    raise OSError(errno.ENOENT, 'other processes keep removing the folder around it')


def _replace(partial: Path, target: Path) -> None:
    """Give a complete folder its name, in the place of one that has it."""
    for _ in range(REPLACEMENTS_MAX):
        try:
            partial.rename(target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        else:
            return
        if _exchange(partial, target):
            return
        with suppress(FileNotFoundError):  # another process was faster
            target.rename(partial / OLD)
        shutil.rmtree(partial / OLD, ignore_errors=True)
    raise OSError(errno.EEXIST, 'other processes keep writing to it')


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names at once, so that a reader finds the one folder or the other; return whether the system could."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), 'renameat2', None)  # Linux 3.15, glibc 2.28
    if renameat2 is None:
        return False
    failed: int = renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), ctypes.c_uint(RENAME_EXCHANGE))
    return failed == 0


def write_table(table: pl.DataFrame, path: Path) -> None:
    """Write a table as Parquet.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    try:
        with path.open('wb') as stream:  # Polars refuses names that are no UTF-8
            table.write_parquet(stream)
    except pl.exceptions.ComputeError as error:  # what Polars makes of a full disk
        raise OSError(str(error).rpartition('IO error: ')[2]) from error
