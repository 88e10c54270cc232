"""docs/architecture.md knows every file, and no other."""

import re
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ('analysis', 'benchmarks', 'commands', 'docs', 'hil', 'sim', 'tools')


def named() -> set[PurePosixPath]:
    """Return what the table of files names: a bare name lies in the folder of the one before it."""
    found: set[PurePosixPath] = set()
    for row in re.findall(r'^\| (`.*?) \|', (ROOT / 'docs' / 'architecture.md').read_text('utf-8'), re.MULTILINE):
        folder = PurePosixPath()
        for name in re.findall(r'`(.*?)`', row):
            path = PurePosixPath(name) if (ROOT / name).exists() else folder / name
            folder = path.parent
            found.add(path)
    return found


def modules() -> list[PurePosixPath]:
    """Return every module and script that is no test, but those that only say what a package is or start one."""
    paths = (path for folder in FOLDERS for ending in ('py', 'sh') for path in (ROOT / folder).rglob(f'*.{ending}'))
    return sorted(PurePosixPath(path.relative_to(ROOT)) for path in paths
                  if path.name not in ('__init__.py', '__main__.py'))


@pytest.mark.parametrize('module', modules(), ids=str)
def test_every_module_has_a_row_of_its_own_or_its_folder_s(module: PurePosixPath) -> None:
    """The table says what each module is for, by its name or by that of a folder around it."""
    assert {module, *module.parents} & named(), f'{module} is not in docs/architecture.md'


def test_what_the_table_names_is_there() -> None:
    """A file that was renamed or removed has no row."""
    assert [str(path) for path in named() if not (ROOT / path).exists()] == []
