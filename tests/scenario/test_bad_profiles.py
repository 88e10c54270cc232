"""What is wrong with a profile is told in one line, with its line, before anything is computed from it."""

import os
import re
from pathlib import Path

import pytest

from sim.errors import InputError
from sim.profiles import load_profile
from sim.yaml_source import FILE_BYTES_MAX
from tests.gadget import GOOD, write
from tests.scenario.clinic import CLINIC
from tests.scenario.refusals import Refuse, says


def refusal(folder: Path, old: str, new: str) -> str:
    """Return the message that GOOD with one replacement is refused with."""
    assert GOOD.count(old) == 1, f'{old!r} must be there once to be replaced'
    with pytest.raises(InputError) as caught:
        load_profile(write(folder, GOOD.replace(old, new)))
    return str(caught.value)


@pytest.mark.parametrize(('old', 'new', 'line', 'words'), [
    ('{value: 2 ms, per', '{valu: 2 ms, per', 30, 'costs.fl.train.any'),
    ('  busy: {value: 0.5 W', '  busy: {value: 0.5', 10, "found '0.5'; expected a power with its unit"),
    ('{value: 1 W,', '{value: 0 W,', 9, 'expected more than 0'),
    ('{value: 1 W,', '{value: -1 W,', 9, 'expected no negative power'),
    ('value: 1000 cycles', 'value: 1000 furlongs', 15, 'expected a time with its unit'),
    ('value: 1000 cycles', 'value: 1000', 15, 'expected a time with its unit'),
    ('  kem.keygen:', '  kem.keygn:', 14, "costs.kem.keygn: unknown key; did you mean 'kem.keygen'?"),
    ('    ML-KEM-768:', '    Kyber768:', 15, "expected 'X25519', 'P-256', 'ML-KEM-512'"),
    ('cycles, source: bench, quality: primary', 'cycles, source: bench, quality: assumption', 15, "found 'assumption'"),
    ('cycles, source: bench, quality: primary', 'cycles, source: bench, quality: derived', 15, 'add a formula'),
    ('cycles, source: bench', 'cycles, source: bensh', 15, "unknown source 'bensh'"),
    ('{bytes: 1024, value: 20 us}', '{bytes: 8, value: 20 us}', 17, 'expected ascending sizes'),
    ('{bytes: 1024, value: 20 us}', '{bytes: 1024, value: 20 ns}', 20, 'expected no falling curve'),
    ('{bytes: 1024, value: 20 us}', '{bytes: 1024, value: 99 cycles}', 20, 'expected no falling curve'),
    ('{bytes: 16, value: 1 us}', '{bytes: 16, value: 2001 cycles}', 20, 'expected no falling curve'),
    ('{bytes: 1024, value: 20 us}', '{bytes: 1.0e+13, value: 20 us}', 20, 'expected a valid integer'),
    ('{bytes: 1024, value: 20 us}', '{bytes: 10000000000000, value: 20 us}', 20, 'less than or equal to'),
    ('value: 1000 cycles', 'value: 1e300 cycles', 15, 'expected at most 1e+09 s'),
    ('value: 1000 cycles', 'value: 1e-400 cycles', 15, 'expected more than 0'),
    ('value: 10 ms', 'value: 1e10 s', 25, 'expected at most 1e+09 s'),
    ('{value: 1 W,', '{value: 1e308 W,', 9, 'expected at most 1e+06 W'),
    ('{value: 0.5 W,', '{value: 1e7 W,', 10, 'expected at most 1e+06 W'),
    ('{value: 100 MHz,', '{value: 1e-300 Hz,', 7, 'expected 1000 Hz to 1e+12 Hz'),
    ('{value: 100 MHz,', '{value: 0 Hz,', 7, 'expected more than 0'),
    ('p: 0.25', 'p: 1.0e-9', 28, 'expected greater than or equal to 0.000001'),
    ('p: 0.25', 'p: 1.0e+400', 28, 'expected less than or equal to 1'),
    ('law: geometric, fixed: 0.2, step: 0.2, p: 0.25', 'law: lognormal, sigma: 11', 28, 'less than or equal to 10'),
    ('law: geometric, fixed: 0.2, step: 0.2, p: 0.25', 'law: uniform, low: 0, high: .inf', 28, 'less than or equal'),
    ('law: geometric, fixed: 0.2, step: 0.2, p: 0.25', 'law: uniform, low: 0, high: .nan', 28, 'less than or equal'),
    ('cores: {value: 2', f'cores: {{value: {"9" * 50}', 6, 'from 1 to 1,024'),
    ('cores: {value: 2', f'cores: {{value: {"9" * 5000}', 6, '5000 digits'),
    ('cores: {value: 2', 'cores: {value: !!bool zz', 6, "tag '!!bool'"),
    ('title: "A gadget"', 'title: "A\\0gadget"', 2, 'U+0000'),
    ('title: "A gadget"', 'title: *gadget', 2, "'*gadget'"),
    ('  bench:', '  5:', 5, "'5' is not a name"),
    ('{bytes: 16, value: 1 us}', '{bytes: 16, value: 0 s}', 19, 'expected more than 0'),
    ('      points:', '      value: 3 us\n      points:', 17, 'neither or both of value and points'),
    ('per: sample, ', '', 30, 'expected one per sample'),
    ('step: 0.2,', 'step: 0.3,', 28, 'expected 1, because value is the mean'),
    ('law: geometric', 'law: lognormal', 28, "expected ['sigma'] for lognormal"),
    ('p: 0.25, source: bench, quality: primary', 'p: 0.25, source: bench, quality: assumption', 24, 'leave the'),
    ('cores: {value: 2', 'cores: {value: 2.5', 6, 'whole number'),
    ('name: gadget', 'name: other', 1, "expected the file's name 'gadget'"),
    ('title: "A gadget"\n', '', 1, 'title: is missing; add it'),
    ('title: "A gadget"', 'name: gadget', 2, 'duplicate key "name"'),
    ('{value: 2, source', '[value: 2, source', 6, 'is not YAML'),
])
def test_a_broken_profile_is_refused_in_one_line(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    """Claim: each mistake is told in one line with file, line and what to do; shown on broken copies of one file."""
    message = refusal(tmp_path, old, new)
    assert '\n' not in message
    assert re.match(rf'{tmp_path}/gadget\.yaml:{line}\b', message), message
    assert words in message
    assert '; ' in message, 'what was found; what to do'


@pytest.mark.parametrize('data', [b'', b'- 1\n- 2\n', b'\xff\xfe\xff'])
def test_a_file_that_is_no_profile_at_all_is_refused(tmp_path: Path, data: bytes) -> None:
    """Claim: an empty file, a list and bytes that are not text are input errors; shown on each."""
    path = tmp_path / 'gadget.yaml'
    path.write_bytes(data)
    with pytest.raises(InputError, match=r'gadget.yaml:1(:| byte 0) \w'):
        load_profile(path)


def test_path_that_is_no_profile_is_refused_unread(tmp_path: Path, refuse: Refuse) -> None:
    """Claim: a queue, a device, a folder, a loop of links and a huge file are no profiles; shown with a run of each."""
    queue, loop, huge = tmp_path / 'queue.yaml', tmp_path / 'loop.yaml', tmp_path / 'huge.yaml'
    os.mkfifo(queue)
    loop.symlink_to(loop)
    huge.write_text('#' * (FILE_BYTES_MAX + 1))
    for name, words in ((queue, 'found no file'), (loop, 'found no file'), (tmp_path, 'found no file'),
                        ('/dev/zero', 'found no file'), ('a' * 300, 'found no file'), (huge, 'larger than 1 MiB')):
        message = refuse(str(CLINIC), '--set', f'devices.tag.profile={name}')
        says(message, '--set devices.tag.profile: ', str(name)[:200], words)
