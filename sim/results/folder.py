"""Run folders as they lie on disk: read, and written whole or not at all.

``results/<scenario>-<hash8>/seed-<n>/`` holds the manifest, the resolved scenario and the tables. What is written
goes to a hidden name beside its place, which it takes when it is complete. The analysis reads folders through
`read_run` and knows nothing of engines; `sim.results.contents` says what a run folder is filled with.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from sim.errors import InputError, RunError

PARTIAL, OLD = '.partial', '.old'
REPLACEMENTS_MAX = 100


@dataclass(frozen=True)
class Run:
    """One run folder."""

    folder: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What was run, with what, and whether it counts."""
        loaded: dict[str, Any] = json.loads((self.folder / 'manifest.json').read_text('utf-8'))
        return loaded

    @cached_property
    def summary(self) -> list[dict[str, Any]]:
        """The metrics, one row each."""
        loaded: list[dict[str, Any]] = json.loads((self.folder / 'summary.json').read_text('utf-8'))
        return loaded

    @property
    def scenario_text(self) -> str:
        """The resolved scenario, as YAML."""
        return (self.folder / 'scenario.yaml').read_text('utf-8')

    def table(self, name: str) -> pl.DataFrame:
        """Return a table by its name without ending; empty when the run has none."""
        path = self.folder / f'{name}.parquet'
        return pl.read_parquet(path) if path.exists() else pl.DataFrame()


def read_run(folder: str | Path) -> Run:
    """Open a run folder.

    Raises
    ------
    InputError
        If the folder is not one.
    """
    run = Run(Path(folder))
    if not (run.folder / 'manifest.json').is_file() or not (run.folder / 'summary.json').is_file():
        raise InputError(f"'{folder}' is not a run folder; expected manifest.json and summary.json in it")
    return run


def find_runs(folder: Path) -> list[Run]:
    """Return the run in a folder, or the runs of all seeds below it.

    Raises
    ------
    InputError
        If there is none.
    """
    if (folder / 'manifest.json').is_file():
        return [read_run(folder)]
    found = (path.parent for path in folder.glob('seed-*/manifest.json'))
    runs = [read_run(path) for path in sorted(found, key=lambda path: (len(path.name), path.name))]
    if not runs:
        raise InputError(f"'{folder}' holds no run; give a run folder, a scenario's folder or a .yaml file")
    return runs


@contextmanager
def complete_folder(target: Path) -> Iterator[Path]:
    """Give a hidden folder to write to, and rename it to `target` at the end; on any error remove it.

    A complete folder that is already there is put aside first and then removed; of processes that write to one target
    the last wins.

    Raises
    ------
    RunError
        If the disk is full, or refuses for another reason.
    """
    partial = _partial(target)
    try:
        with _told(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.mkdir()
            yield partial
            _replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


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


def remove_partial(parent: Path, pid: int) -> None:
    """Remove what a process that was killed had not finished."""
    for partial in parent.glob(f'.*.{pid}-*{PARTIAL}'):
        shutil.rmtree(partial, ignore_errors=True)


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
        with suppress(FileNotFoundError):  # another process was faster
            target.rename(partial / OLD)
        shutil.rmtree(partial / OLD, ignore_errors=True)
    raise OSError(errno.EEXIST, 'other processes keep writing to it')


def write_table(table: pl.DataFrame, path: Path) -> None:
    """Write a table as Parquet.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    try:
        table.write_parquet(path)
    except pl.exceptions.ComputeError as error:  # what Polars makes of a full disk
        raise OSError(str(error).rpartition('IO error: ')[2]) from error
