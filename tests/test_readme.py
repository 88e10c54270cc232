"""The README's commands do what it says."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / 'README.md').read_text('utf-8')
COMMANDS = [line for block in re.findall(r'```sh\n(.*?)```', README, re.DOTALL) for line in block.splitlines()]
BY_MAKE = {'make run': 'run teaching-hospital'}  # what the Makefile starts once everything is installed


def test_every_command_of_the_readme_runs_in_its_order(tmp_path: Path) -> None:
    """All shell blocks, one line after the other in one folder: each ends with 0 and says something.

    `make test` is what runs this, and the line that sets the path has its place taken by the present Python.
    """
    iomtwin = f'{shlex.quote(sys.executable)} {shlex.quote(str(ROOT / "iomtwin.py"))}'
    ran = 0
    for command in COMMANDS:
        if command == 'make test' or command.startswith('export PATH='):
            continue
        arguments = BY_MAKE.get(command) or re.fullmatch(r'iomtwin (.*)', command).group(1)
        done = subprocess.run(f'{iomtwin} {arguments}', shell=True, cwd=tmp_path, text=True, capture_output=True,
                              check=False, timeout=600, env={**os.environ, 'PYTHONPATH': str(ROOT)})
        assert done.returncode == 0, f'{command}: {done.stderr}'
        assert done.stdout
        ran += 1
    assert ran == len(COMMANDS) - 2


def test_the_makefile_runs_what_the_readme_says() -> None:
    """The recipe of `make run` ends with the command that stands in for it here."""
    recipe = re.search(r'^run:.*\n\t(.*)$', (ROOT / 'Makefile').read_text('utf-8'), re.MULTILINE)
    assert recipe is not None
    assert recipe.group(1).endswith(BY_MAKE['make run'])


@pytest.mark.parametrize('block', re.findall(r'```python\n(.*?)```', README, re.DOTALL))
def test_the_python_of_the_readme_runs(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The block is executed as it stands, and prints a table."""
    exec(compile(block, 'README.md', 'exec'), {})
    assert 'latency' in capsys.readouterr().out


def test_files_that_the_readme_links_are_there() -> None:
    """Every relative link of the README points to a file of the repository."""
    links = [link for link in re.findall(r'\]\(([^)]+)\)', README) if not link.startswith('http')]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
