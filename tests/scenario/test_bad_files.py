"""What is no scenario or no list of arrivals, as a file, is told in one line; YAML texts and CSV tables."""

import os
from pathlib import Path

import pytest

from sim.loading import load
from sim.yaml_source import FILE_BYTES_MAX
from tests.scenario.clinic import TEXT, edited
from tests.scenario.refusals import TAG, TAG_PERIOD, Refuse, says, timed_by

MIB = FILE_BYTES_MAX - 100
TEXTS = {  # a file, how its message goes on after the file's name, and a word of it
    'empty file': ('', ':1: ', 'holds no keys'),
    'only a comment': ('# nothing\n', ':1: ', 'holds no keys'),
    'list': ('- a\n- b\n', ':1: ', 'holds no keys'),
    'word': ('clinic\n', ':1: ', 'holds no keys'),
    'open bracket': ('name: clinic\nwards: [a\nseed: 1\n', ':3: ', 'is not YAML'),
    'open quote': ('name: "clinic\n', ':2: ', 'is not YAML'),
    'tabs': ('wards:\n\tward:\n', ':2: ', '\\t'),
    'two documents': ('name: a\n---\nname: b\n', ':2: ', 'another document'),
    'unknown alias': ('name: a\nseed: *b\n', ':2 seed: ', "'*b'"),
    'alias of what it is in': ('name: a\nwards: &b [*b]\n', ':2 wards[0]: ', "'*b'"),
    'duplicate key': (
        edited('  tag:', '  patch:'), f':{TEXT[:TEXT.index("  tag:")].count(chr(10)) + 1} devices.patch: ',
        'duplicate key "patch"'),
    'nested too deep': (f'name: {"[" * 30}{"]" * 30}', ':1 name: ', 'nested deeper'),
    'keys nested too deep': ('\n'.join(' ' * depth + 'a:' for depth in range(30)), ':14 a: ', 'nested deeper'),
    'nested a thousand deep': ('\n'.join(' ' * depth + 'a:' for depth in range(1000)), ':14 a: ', 'nested deeper'),
    'aliases nested too deep': ('a: &a [x]\n' + ''.join(
        f'{new}: &{new} [*{old}]\n' for old, new in zip('abcdefghijklm', 'bcdefghijklmn', strict=True)), ':12 l: ',
        'nested deeper'),
    'aliases that multiply': ('a: &a [x, x, x, x, x, x, x, x, x, x]\n' + ''.join(
        f'{new}: &{new} [{", ".join([f"*{old}"] * 10)}]\n' for old, new in zip('abcdefgh', 'bcdefghi', strict=True)),
        ':5 e: ', 'values'),
    'NUL byte': (edited('Two wards', 'Two\0wards'), ':4: ', 'U+0000'),
    'escape sequence': (edited('Two wards', '\x1b[2Jwards'), ':4: ', 'U+001B'),
    'escaped NUL': (edited('name: clinic', 'name: "a\\0"'), ':3 name: ', 'U+0000'),
    'escaped half of a character': ('name: a\ndescription: "\\ud83d"', ':2 description: ', 'U+D83D'),
    'escaped NUL in a key': ('"a\\0": 1', ':1: ', 'U+0000'),
    'escape beyond the last character': ('name: "\\UFFFFFFFF"', ':1: ', 'is not YAML'),
    'integer that Python refuses': (edited('seed: 1', f'seed: {"9" * 5000}'), ':5 seed: ', '5000 digits'),
    'integer that Python cannot write': ('seed: 0x' + 'f' * 5000, ':1 seed: ', '5002 digits'),
    'number without digits': ('seed: ._', ':1 seed: ', "'._' is no number"),
    'word tagged as a number': ('seed: !!int "x"\n', ':1 seed: ', "tag '!!int'"),
    'object of Python': ('a: !!python/object/apply:os.system [ls]', ':1 a: ', 'python/object/apply:os.system'),
    'tag of a megabyte': (f'a: !{"x" * MIB}', ':1: ', 'tag is longer'),
    'directive': ('a: 1\n%TAG ! tag:x', ':2: ', 'directives'),
    'merge of a number': ('a: {<<: 5}', ':1 a: ', 'no mapping'),
    'truth for a name': ('devices:\n  true: 1', ":2 devices.true: 'true' is not a name", 'quotes'),
    'nothing for a name': ('? ', ":1: '' is not a name", 'quotes'),
    'megabyte of list': (f'a: [{"1," * (MIB // 2)}]', ':1 a: ', 'values'),
    'megabyte of keys': (''.join(f'key-{i}:\n' for i in range(90_000)), ':30001 ', 'values'),
    'megabyte of brackets': ('[' * MIB, ':1 ', 'nested deeper'),
    'megabyte of a word': ('x' * MIB, ':1: ', 'holds no keys'),
    'megabyte of mistakes': (
        edited('devices:\n', 'devices:\n' + ''.join(f'  {i}-: 1\n' for i in range(29_000))),
        f':{TEXT[:TEXT.index("devices:")].count(chr(10)) + 2} devices.0-: ', 'lower-case'),
}

CSV = {
    'wrong header': ('device;time_s\n0;1\n', "'device;time_s'", "'device,time_s'"),
    'no header': ('', "''", "'device,time_s'"),
    'no number': ('device,time_s\n0,1\n0,soon\n', 'line 3', "'0,soon'"),
    'three columns': ('device,time_s\n0,1,2\n', 'line 2', "'0,1,2'"),
    'empty row': ('device,time_s\n0,1\n\n0,2\n', 'line 3'),
    'negative time': ('device,time_s\n0,-1\n', "'0,-1'"),
    'infinite time': ('device,time_s\n0,inf\n', "'0,inf'"),
    'device beyond the count': ('device,time_s\n4,1\n', 'device 4', 'there are 4'),
    'line break in a field': ('device,time_s\n"0\n1",1\n', "'0\\n1,1'"),
    'field of a megabyte': (f'device,time_s\n{"9" * 200_000},1\n', 'not CSV', 'field'),
    'more digits than Python takes': (f'device,time_s\n{"9" * 5000},1\n', 'line 2'),
    'no number at all': ('device,time_s\n0,nan\n', "'0,nan'"),
}


@pytest.mark.parametrize(('text', 'line', 'word'), TEXTS.values(), ids=TEXTS.keys())
def test_file_that_is_no_scenario_is_told(text: str, line: str, word: str, refuse: Refuse, tmp_path: Path) -> None:
    """What YAML cannot read, or what would take the reader's time or memory, is refused with its line and key."""
    path = tmp_path / 'clinic.yaml'
    path.write_text(text, 'utf-8')
    message = refuse(str(path))
    assert message.startswith(f'{path}{line}')
    says(message, word)


def test_file_over_the_cap_is_refused_unread(refuse: Refuse, tmp_path: Path) -> None:
    """A valid scenario behind a comment of a megabyte is refused."""
    path = tmp_path / 'clinic.yaml'
    path.write_text(f'{TEXT}#{"x" * FILE_BYTES_MAX}')
    says(refuse(str(path)), f'{path}: ', 'larger than 1 MiB')


@pytest.mark.parametrize('encoding', ['latin-1', 'utf-16'])
def test_file_that_is_not_utf8_is_refused(encoding: str, refuse: Refuse, tmp_path: Path) -> None:
    """The clinic with a letter of Latin-1, and in UTF-16, is refused at the first byte that is not UTF-8."""
    path = tmp_path / 'clinic.yaml'
    path.write_bytes(edited('Two wards', 'Z\u00fcrich').encode(encoding))
    says(refuse(str(path)), f'{path}:{4 if encoding == "latin-1" else 1} byte ', 'save the file as UTF-8')


def test_folder_named_like_a_file_is_refused(refuse: Refuse, tmp_path: Path) -> None:
    """A folder named clinic.yaml is no scenario."""
    path = tmp_path / 'clinic.yaml'
    path.mkdir()
    says(refuse(str(path)), str(path), 'no such file')


@pytest.mark.skipif(os.geteuid() == 0, reason='root may read everything')
def test_file_without_permission_is_refused(refuse: Refuse, tmp_path: Path) -> None:
    """A scenario that its reader may not read is refused with the cause."""
    path = tmp_path / 'clinic.yaml'
    path.write_text(TEXT)
    path.chmod(0)
    says(refuse(str(path)), f'{path}: ', 'Permission denied')


@pytest.mark.parametrize('row', CSV.values(), ids=CSV.keys())
def test_mistake_in_arrivals_is_told_with_its_stream(row: tuple[str, ...], refuse: Refuse, tmp_path: Path) -> None:
    """A CSV file that is not as described is told with the line of the scenario that names it."""
    (tmp_path / 'arrivals.csv').write_text(row[0])
    path = tmp_path / 'clinic.yaml'
    path.write_text(timed_by('arrivals.csv'))
    line = TEXT[:TEXT.index(TAG_PERIOD)].count('\n') + 1
    message = refuse(str(path))
    assert message.startswith(f'{path}:{line} {TAG}.arrivals: ')
    says(message, *row[1:])


@pytest.mark.parametrize(('limit', 'value', 'words'), [
    ('ARRIVALS_MAX', 99, ('100 arrivals', 'at most 99')), ('ARRIVALS_BYTES_MAX', 1, ('is larger than',))])
def test_more_arrivals_than_fit_are_refused(limit: str, value: int, words: tuple[str, ...], refuse: Refuse,
                                            tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred rows where 99 may be, or where a byte may be: told with the line, before they are validated."""
    monkeypatch.setattr(f'sim.loading.{limit}', value)
    (tmp_path / 'arrivals.csv').write_text('device,time_s\n' + '0,1\n' * 100)
    (tmp_path / 'clinic.yaml').write_text(timed_by('arrivals.csv'))
    says(refuse(str(tmp_path / 'clinic.yaml')), f' {TAG}.arrivals: ', *words)


@pytest.mark.parametrize(('name', 'word'), [
    ('nowhere.csv', 'No such file'), ('.', 'Is a directory'), ('a' * 300, 'too long')])
def test_arrivals_that_cannot_be_read_are_refused(name: str, word: str, refuse: Refuse, tmp_path: Path) -> None:
    """A CSV file that is not there, or cannot be, is told with the line of the scenario that names it."""
    path = tmp_path / 'clinic.yaml'
    path.write_text(timed_by(name))
    message = refuse(str(path))
    assert message.startswith(f'{path}:')
    says(message, f' {TAG}.arrivals: ', 'cannot be read', word)


def test_file_that_never_ends_is_refused_unread(refuse: Refuse, tmp_path: Path) -> None:
    """A queue without a writer and a device, for a scenario and for its arrivals: refused, and nothing waits."""
    queue, path = tmp_path / 'queue.yaml', tmp_path / 'clinic.yaml'
    os.mkfifo(queue)
    says(refuse(str(queue)), 'no such file')
    for name in (str(queue), '/dev/zero'):
        path.write_text(timed_by(name))
        says(refuse(str(path)), f' {TAG}.arrivals: ', f"'{name}': cannot be read (not a regular file)")


def test_mark_of_a_byte_order_is_no_part_of_a_file(tmp_path: Path) -> None:
    """A scenario and its arrivals as an editor of another system saves them, with the mark and other line ends."""
    path = tmp_path / 'clinic.yaml'
    for file, text in ((tmp_path / 'a.csv', 'device,time_s\n0,1\n'), (path, timed_by('a.csv'))):
        file.write_text(text, 'utf-8-sig', newline='\r\n')
    assert load(path)[0].devices['tag'].streams['vitals'].arrivals == ((0, 1.0),)


def test_loop_of_links_is_refused(refuse: Refuse, tmp_path: Path) -> None:
    """A scenario that is a link to itself is no file."""
    path = tmp_path / 'clinic.yaml'
    path.symlink_to(path)
    says(refuse(str(path)), str(path), 'no such file')
