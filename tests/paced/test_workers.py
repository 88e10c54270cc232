"""What workers say of themselves, and what of it stops a run."""

from dataclasses import replace

import pytest

from hil.broker.names import Place
from hil.paced.checks import check_workers
from hil.worker.hello import HEADER, TEXT_MAX, Hello, hello_in, hello_of
from sim.errors import RunError

ONE = hello_of('pi-1', 'crypto', 'pqcrypto 1.0.0', 'pqc-768')
EXPECTED: dict[Place, int] = {'crypto': 2, 'server': 1}
ALL = [ONE, replace(ONE, node='pi-2'), replace(ONE, node='host', place='server')]


def test_a_hello_comes_as_it_was_said() -> None:
    """Headers and back; version, machine and memory are this process's own."""
    assert hello_in(ONE.to_headers()) == ONE
    assert ONE.version != 'unknown'
    assert ONE.cores > 0
    assert ONE.memory_mib > 0


@pytest.mark.parametrize('headers', [
    {}, {'reason': 'replayed'}, {HEADER: 7}, {HEADER: 'no JSON'}, {HEADER: '[]'}, {HEADER: '{"node": "pi"}'},
    {HEADER: '[' * 100_000}, replace(ONE, node='x' * (TEXT_MAX + 1)).to_headers(),
    replace(ONE, cores='two').to_headers(),  # type: ignore[arg-type]
])
def test_what_is_no_hello_is_none(headers: dict[str, object]) -> None:
    """Whatever stands in the headers of a message, nothing is raised."""
    assert hello_in(headers) is None


def test_alike_and_complete_is_good() -> None:
    """More than expected is no harm."""
    check_workers(ALL, EXPECTED)
    check_workers([*ALL, replace(ONE, node='pi-3')], EXPECTED)


DIFFERENT = {
    'version': ([*ALL[:2], replace(ALL[2], version='0.0.9')], 'differ in their version: pi-2 has'),
    'provider': ([*ALL[:2], replace(ALL[2], provider='liboqs 0.12.0')], 'host has liboqs 0.12.0'),
    'suite': ([*ALL[:2], replace(ALL[2], suite='hybrid')], 'differ in their suite'),
    'one is missing': (ALL[1:], r'crypto: 1 of 2 workers are there \(pi-2\)'),
    'a place is missing': (ALL[:2], r'server: 0 of 1 workers are there \(none\)'),
}


@pytest.mark.parametrize(('hellos', 'words'), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_unlike_or_missing_workers_stop_a_run(hellos: list[Hello], words: str) -> None:
    """In one line, with the names of those that differ."""
    with pytest.raises(RunError, match=words) as stopped:
        check_workers(hellos, EXPECTED)
    assert '\n' not in str(stopped.value)
