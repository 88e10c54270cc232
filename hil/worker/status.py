"""What a worker says of itself to whoever starts and watches it: two files in a folder.

``ready`` is there while the worker has warmed up and is subscribed. ``health.json`` is written anew about every second,
also while a long job is computed: a worker whose file is old is not alive.
"""

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

EVERY_S = 1.0


class Status:
    """The files; without a folder, nothing is written."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._next = 0.0
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self.set_ready(is_ready=False)

    def set_ready(self, *, is_ready: bool) -> None:
        """Let the file ``ready`` be there, or not."""
        if self._folder is None:
            return
        if is_ready:
            (self._folder / 'ready').touch()
        else:
            with suppress(FileNotFoundError):
                (self._folder / 'ready').unlink()
        self._next = 0.0

    def beat(self, counts: Mapping[str, int], *, is_forced: bool = False) -> None:
        """Write what was counted so far, if the file is a second old."""
        if self._folder is None or (time.monotonic() < self._next and not is_forced):
            return
        self._next = time.monotonic() + EVERY_S
        unfinished = self._folder / 'health.json.part'
        unfinished.write_text(json.dumps({'pid': os.getpid(), 'unix_s': time.time(), 'counts': counts}) + '\n')
        unfinished.rename(self._folder / 'health.json')
