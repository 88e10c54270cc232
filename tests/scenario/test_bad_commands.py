"""What is wrong with a command is told in one line, and nothing is left behind."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.results.runs import DEADLINE_S
from tests.scenario.clinic import CLINIC
from tests.scenario.refusals import Refuse, says, the_line

ENTRY_POINT = [sys.executable, '-c', 'import iomtwin; iomtwin.main()']

COMMANDS = {
    'unknown trace': (['--trace', 'all'], '--trace', "'all'", 'stages'),
    'unknown engine': (['--engine', 'fast'], '--engine', "'fast'", 'simpy'),
    'negative seed': (['--seed', '-1'], '--seed'),
    'unknown option': (['--sead', '1'], '--sead', '--seed'),
    'second scenario': (['ward'], 'ward'),
    'set without equals': (['--set', 'duration'], '--set duration', 'KEY=VALUE'),
    'set without key': (['--set', '=5'], '--set =5', 'KEY=VALUE'),
    'set into a scalar': (['--set', 'name.first=a'], '--set name.first', "'clinic'"),
    'set beyond a list': (['--set', 'learning.clients.7=patch'], '--set learning.clients.7', 'list of 1'),
    'set beyond any list': (['--set', f'learning.clients.{"9" * 5000}=patch'], '--set learning.clients.9', 'list of 1'),
    'set to no YAML': (['--set', 'name=[a'], '--set name', "'[a'"),
    'set to a NUL': (['--set', 'name="a\\0"'], '--set name', 'U+0000'),
    'set to half a character': (['--set', 'name=a\udce4'], '--set name', 'U+DCE4'),
    'set of half a character': (['--set', 'na\udce4me=a'], '--set na\\udce4me', 'U+DCE4'),
    'set to a tag': (['--set', 'duration=!!bool zz'], '--set duration', "'!!bool'"),
    'set to an empty tag': (['--set', 'name=!!int'], '--set name', "'!!int'"),
    'set to an alias of itself': (['--set', 'name=a: &a {<<: *a}'], '--set name', "'*a'"),
    'set to two documents': (['--set', 'name=a\n---\nb'], '--set name', 'another document'),
    'set to hexadecimal of a kilobyte': (['--set', f'seed=0x{"f" * 1000}'], '--set seed', '1002 digits'),
    'set to a deep list': (['--set', f'name={"[" * 30}{"]" * 30}'], '--set name', 'nested deeper'),
    'set of a deep key': (['--set', f'{".".join("a" * 2000)}=1'], '--set a', 'unknown key'),
    'set of another digit': (['--set', 'a.\u00b2=1'], '--set a', 'unknown key'),
}

NAMES = {
    'unknown name': ('wrad', "'wrad'", "did you mean 'ward'?"),
    'name unlike any': ('zebra', "'zebra'", 'paper-testbed-distributed'),
    'missing file': ('nowhere.yaml', 'nowhere.yaml', 'no such file'),
    'name too long for a file': (f'{"a" * 300}.yaml', 'aaa.yaml', 'no such file'),
    'name with a NUL': ('a\0b.yaml', 'a\\x00b.yaml', 'no such file'),
    'name of two lines': ('a\nb', "'a\\nb'"),
    'name of bytes that are no text': ('\udce4.yaml', '\\udce4.yaml'),
}


@pytest.mark.parametrize('row', COMMANDS.values(), ids=COMMANDS.keys())
def test_mistake_in_a_command_is_told(row: tuple[list[str], str], refuse: Refuse) -> None:
    """Every wrong option is told by its name, with what was found."""
    says(refuse(str(CLINIC), *row[0]), *row[1:])


@pytest.mark.parametrize('row', NAMES.values(), ids=NAMES.keys())
def test_unknown_scenario_is_told_with_what_there_is(row: tuple[str, ...], refuse: Refuse) -> None:
    """A name that is neither shipped nor a file is refused, with the name that is near it or all names."""
    says(refuse(row[0]), *row[1:])


@pytest.mark.parametrize(('arguments', 'words'), [
    ([str(CLINIC), '--set', 'duration=20'], ('--set duration: ', "'20' has no unit")),
    ([str(CLINIC), '--set', 'crypto.replicas=8'], ('clinic.yaml:', 'edge.nodes.edge-1', '4.3')),
    (['wrad'], ("'wrad'", "did you mean 'ward'?")),
])
def test_real_command_says_one_line_and_leaves_with_two(
        arguments: list[str], words: tuple[str, ...], tmp_path: Path) -> None:
    """The installed entry point, as a process of its own, behaves as the function does."""
    script = shutil.which('iomtwin', path=str(Path(sys.executable).parent))
    done = subprocess.run([*([script] if script else ENTRY_POINT), 'run', *arguments, '--out', str(tmp_path / 'out')],
                          capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert (done.returncode, done.stdout) == (2, '')
    says(the_line(done.stderr), *words)
    assert not (tmp_path / 'out').exists()
