"""The memory of this computer, as Linux counts it."""

from pathlib import Path

import pytest

from sim import memory


def test_available_memory_is_the_least_of_machine_and_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 1,000 KiB, a group two levels down whose parent has 300 bytes left, and 50 that are idle files."""
    meminfo, groups, root = tmp_path / 'meminfo', tmp_path / 'cgroup', tmp_path / 'fs'
    meminfo.write_text('MemTotal: 2000 kB\nMemAvailable:    1000 kB\n')
    monkeypatch.setattr(memory, 'MEMINFO', meminfo)
    monkeypatch.setattr(memory, 'CGROUPS', groups)
    monkeypatch.setattr(memory, 'CGROUP_ROOT', root)
    assert memory.available_bytes() == 1_024_000
    groups.write_text('0::/outer/inner\n')
    (root / 'outer' / 'inner').mkdir(parents=True)
    (root / 'outer' / 'inner' / 'memory.max').write_text('max\n')
    (root / 'outer' / 'inner' / 'memory.current').write_text('100\n')
    assert memory.available_bytes() == 1_024_000
    (root / 'outer' / 'memory.max').write_text('500\n')
    (root / 'outer' / 'memory.current').write_text('200\n')
    assert memory.available_bytes() == 300
    (root / 'outer' / 'memory.stat').write_text('anon 150\ninactive_file 50\n')
    assert memory.available_bytes() == 350
