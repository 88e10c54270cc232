"""Inventories: what is read from one, and how a wrong one is refused."""

import re
from pathlib import Path

import pytest

from hil.broker.credentials import Credentials
from hil.broker.names import WORKER_PLACES
from hil.inventory import SHIPPED, Inventory, load_inventory, shipped_inventories
from sim.errors import InputError

GOOD = """\
description: three nodes
broker:
  url: amqps://edge-1:5671/iomtwin
  ca: tls/ca.pem
  credentials: secret.json
nodes:
  edge-1: {places: {crypto: 2}}
  edge-2: {places: {crypto: 1, server: 1}, workers: elsewhere}
"""


def written(folder: Path, text: str) -> Path:
    """Return an inventory's file."""
    path = folder / 'pis.yaml'
    path.write_text(text)
    return path


def test_the_shipped_inventories_are_read() -> None:
    """Each of them; local has a private broker and starts a worker of every place."""
    loaded = {name: load_inventory(name) for name in shipped_inventories()}
    local = loaded['local']
    assert local.broker.private
    assert [local.n_workers(place) for place in WORKER_PLACES] == [1, 1, 1]
    assert [local.following((1, 0, 2)).n_workers(place) for place in WORKER_PLACES] == [3, 1, 1]
    assert {node.workers for node in local.nodes.values()} == {'started'}
    assert local == load_inventory(SHIPPED / 'local.yaml')


def test_workers_are_counted_and_paths_begin_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two nodes offer three workers of a place and none of another; the files lie beside the inventory."""
    path = written(tmp_path, GOOD)
    inventory = load_inventory(path)
    assert [inventory.n_workers(place) for place in WORKER_PLACES] == [3, 1, 0]
    assert inventory.broker.endpoint().ca == tmp_path / 'tls/ca.pem'
    assert inventory.broker.endpoint().parts() == ('edge-1', 5671, 'iomtwin')
    secret = tmp_path / 'secret.json'
    secret.write_text('{"twin": {"user": "me", "password": "secret"}}')
    secret.chmod(0o600)
    assert inventory.broker.credentials_of('twin') == Credentials('me', 'secret')
    monkeypatch.setenv('IOMTWIN_TWIN_USER', 'you')
    monkeypatch.setenv('IOMTWIN_TWIN_PASSWORD', 'other')
    inventory = load_inventory(written(tmp_path, GOOD.replace('secret.json', 'environment')))
    assert inventory.broker.credentials_of('twin') == Credentials('you', 'other')


@pytest.mark.parametrize(('old', 'new', 'line', 'words'), [
    ('description: three', 'descrption: three', 1, "descrption: unknown key; did you mean 'description'?"),
    ('places: {crypto: 2}', 'place: {crypto: 2}', 7, 'nodes.edge-1.places: is missing'),
    ('places: {crypto: 2}', 'places: {}', 7, 'has 0 entries; expected at least 1'),
    ('places: {crypto: 2}', 'places: {crypto: 0}', 7, 'greater than or equal to 1'),
    ('places: {crypto: 2}', 'places: {crypto: 65}', 7, 'less than or equal to 64'),
    ('places: {crypto: 2}', 'places: {crypto: two}', 7, "found 'two'"),
    ('places: {crypto: 2}', 'places: {broker: 2}', 7, "found 'broker'; expected 'crypto', 'server' or 'authority'"),
    ('places: {crypto: 2}', 'places: [crypto]', 7, 'found a list; expected a mapping'),
    ('broker:', 'follows_scenario: true\nbroker:', 1, 'follows_scenario is for one node'),
    ('workers: elsewhere', 'workers: maybe', 8, "found 'maybe'; expected 'started' or 'elsewhere'"),
    ('  edge-1: {', '  Edge 1: {', 7, 'expected lower-case letters'),
    ('amqps://edge-1:5671/iomtwin', 'amqp://edge-1', 3, 'broker.url: broker URL'),
    ('amqps://edge-1', 'amqps://me:hush@edge-1', 3, 'names a user'),
    ('  ca: tls/ca.pem\n', '', 2, 'broker: names url and credentials; expected url, ca and credentials'),
    ('  ca: tls/ca.pem', '  private: true', 2, 'is private and names url and credentials'),
    ('  credentials: secret.json', '  password: hush', 5, 'broker.password: unknown key'),
    ('broker:', '# broker:', 3, 'is not YAML'),
    ('nodes:\n', 'nodes: {}\nothers:\n', 6, 'has 0 entries'),
    (GOOD, '', 1, 'holds no keys'),
    (GOOD, 'broker: {private: true}\nnodes:\n  a: {places: {crypto: 1}}\n', 1, 'cannot be reached from a'),
])
def test_a_broken_inventory_is_refused_in_one_line(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    """Each mistake is told with file, line, what was found and what to do; shown on broken copies of one file."""
    assert GOOD.count(old) == 1
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(InputError) as caught:
        load_inventory(path)
    message = str(caught.value)
    assert re.match(rf'{re.escape(str(path))}:{line}\b', message), message
    assert words in message
    assert '\n' not in message
    assert 'hush' not in message


@pytest.mark.parametrize(('source', 'words'), [
    ('locl', 'neither a .yaml file nor a shipped inventory'), ('nowhere.yaml', 'cannot be read'), ('.', 'neither')])
def test_a_source_that_is_no_inventory_is_refused(source: str, words: str) -> None:
    """A misspelt name, a file that is not there, and a folder."""
    with pytest.raises(InputError, match=words):
        load_inventory(source)


def test_a_private_broker_is_asked_for_itself() -> None:
    """Its place and passwords are not in the inventory: whoever looks for them there has made a mistake."""
    broker = Inventory.model_validate(
        {'broker': {'private': True}, 'nodes': {'a': {'workers': 'started', 'places': {'crypto': 1}}}}).broker
    for ask in (broker.endpoint, lambda: broker.credentials_of('twin')):
        with pytest.raises(AssertionError, match='a private broker'):
            ask()
