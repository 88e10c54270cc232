"""Names, rights and passwords as data: what is accepted, and what is never said."""

import json
import os
import re
from pathlib import Path

import pytest

from hil.broker.credentials import (
    Credentials,
    definitions,
    draw_credentials,
    from_environment,
    from_file,
    to_environment,
)
from hil.broker.names import ROLES, WORKER_PLACES, check_run, exchange_of, key_of, new_run, queue_of, rights
from sim.errors import InputError

GOOD = {'crypto': {'user': 'crypto', 'password': 'secret'}}


def written(folder: Path, contents: object, mode: int = 0o600) -> Path:
    """Return a file of credentials."""
    path = folder / 'credentials.json'
    path.write_text(contents if isinstance(contents, str) else json.dumps(contents))
    path.chmod(mode)
    return path


def test_credentials_are_found_in_the_environment_and_in_a_file(tmp_path: Path) -> None:
    """What is written for a role is read for it."""
    drawn = draw_credentials()
    for role in ROLES:
        assert from_environment(role, to_environment(role, drawn[role])) == drawn[role]
    assert from_file('crypto', written(tmp_path, GOOD)) == Credentials('crypto', 'secret')


@pytest.mark.parametrize(('contents', 'mode', 'words'), [
    (GOOD, 0o640, 'may be read by others'), (GOOD, 0o604, 'chmod 600'), ({}, 0o600, 'credentials of the role crypto'),
    ('', 0o600, 'no credentials'), ('[' * 100_000, 0o600, 'no credentials'), ('{"crypto": 1}', 0o600, 'no credentials'),
    ({'crypto': {'user': 'x'}}, 0o600, 'no credentials'), ({'crypto': {'user': 1, 'password': 2}}, 0o600, 'be texts'),
    ({'crypto': {'user': '', 'password': ''}}, 0o600, 'be texts'),
])
def test_a_bad_file_of_credentials_is_one_line(tmp_path: Path, contents: object, mode: int, words: str) -> None:
    """Files that others may read, and that hold something else, are refused by name and without what they hold."""
    path = written(tmp_path, contents, mode)
    with pytest.raises(InputError, match=words) as caught:
        from_file('crypto', path)
    assert str(caught.value).startswith(str(path))
    assert 'secret' not in str(caught.value)


def test_what_is_no_file_holds_no_credentials(tmp_path: Path) -> None:
    """Nothing, a folder, a queue that nobody writes to, and a name that no file can have."""
    os.mkfifo(tmp_path / 'queue', 0o600)
    for path in (tmp_path / 'none', tmp_path, tmp_path / 'queue', tmp_path / 'a\0b'):
        with pytest.raises(InputError, match=r'; expected credentials$'):
            from_file('crypto', path)


def test_a_variable_that_is_missing_is_named() -> None:
    """Without a password, and with an empty one."""
    for environment in ({'IOMTWIN_TWIN_USER': 'twin'}, {'IOMTWIN_TWIN_USER': 'twin', 'IOMTWIN_TWIN_PASSWORD': ''}):
        with pytest.raises(InputError, match='found no IOMTWIN_TWIN_PASSWORD'):
            from_environment('twin', environment)


def test_passwords_are_fresh_and_said_nowhere() -> None:
    """No two are alike, and neither definitions nor representations hold one."""
    drawn = [draw_credentials(), draw_credentials()]
    passwords = [user.password for users in drawn for user in users.values()]
    assert len(set(passwords)) == 2 * len(ROLES)
    said = repr(drawn) + definitions(drawn[0])
    assert not [password for password in passwords if password in said]


def test_rights_for_one_run_reach_no_other() -> None:
    """The patterns of a run match what it declares, and nothing of runs whose names begin or end alike."""
    run = 'a-1'
    for place in WORKER_PLACES:
        granted = rights(place, run)
        others = [other for other in WORKER_PLACES if other != place]
        assert re.search(granted.read, queue_of(run, place, 0))
        assert re.search(granted.write, exchange_of(run, others[0]))
        for other_run in ('a-11', 'aa-1', 'a', 'a-1-a', new_run()):
            assert not re.search(granted.read, queue_of(other_run, place, 0))
            assert not re.search(granted.write, exchange_of(other_run, others[0]))
            assert not re.search(rights('twin', run).configure, exchange_of(other_run, place))


@pytest.mark.parametrize('run', ['', 'A', 'a.b', 'a b', '-a', 'a' * 41, 'a\n', 'ä', '*', 'a/b'])
def test_what_is_no_name_of_a_run_names_no_queues(run: str) -> None:
    """Names that would mean something else in a queue's name or in a pattern."""
    with pytest.raises(InputError, match='expected 1 to 40'):
        check_run(run)
    with pytest.raises(InputError, match='expected 1 to 40'):
        exchange_of(run, 'crypto')


def test_names_of_runs_are_fresh_and_priorities_have_one_digit() -> None:
    """A hundred names differ; a priority beyond one digit has no name."""
    assert len({check_run(new_run()) for _ in range(100)}) == 100
    assert [key_of(priority) for priority in (0, 9)] == ['0', '9']
    for priority in (-1, 10):
        with pytest.raises(InputError, match='expected 0 to 9'):
            key_of(priority)
