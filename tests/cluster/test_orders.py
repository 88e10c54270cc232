"""Orders for pods, and what is read from pods: pure pieces, without a cluster."""

from pathlib import Path
from typing import Any

import pytest

from hil.cluster.kustomization import Object
from hil.cluster.pods import problem
from hil.cluster.workers import moments, posts, throttled
from hil.inventory import load_inventory
from hil.worker import orders
from hil.worker.orders import Order, digest_in, packed, part_name, read_order
from sim.errors import InputError, RunError

ORDER = Order('tuesday', 'pqc-768', 'pqcrypto', {'crypto': [0, 1]}, 2, 1000, False, {'a-pod': 'pi-1-crypto-1'},
              {'session': [['00' * 8, 1, 'ab' * 16]], 'kem_public': [], 'signature_public': []})


def leave(folder: Path, parts: list[bytes]) -> None:
    """Write parts as a volume has them."""
    for i, part in enumerate(parts):
        (folder / part_name(i)).write_bytes(part)


def test_an_order_comes_back_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one part, and in several; its digest is what it begins with."""
    leave(tmp_path, packed(ORDER))
    assert read_order(tmp_path) == ORDER
    monkeypatch.setattr(orders, 'PART_BYTES_MAX', 64)
    monkeypatch.setattr(orders, 'PARTS_MAX', 20)
    parts = packed(ORDER)
    assert len(parts) > 1
    leave(tmp_path, parts)
    assert read_order(tmp_path) == ORDER
    assert digest_in(tmp_path) == parts[0][:32]


def test_half_an_order_and_parts_of_two_are_none_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets come one after the other: until all are there, and of one order, nothing is begun."""
    assert read_order(tmp_path) is None
    assert digest_in(tmp_path) is None
    monkeypatch.setattr(orders, 'PART_BYTES_MAX', 64)
    monkeypatch.setattr(orders, 'PARTS_MAX', 20)
    parts = packed(ORDER)
    leave(tmp_path, parts[:-1])
    assert read_order(tmp_path) is None
    leave(tmp_path, parts)
    (tmp_path / part_name(1)).write_bytes(b'of another order')
    assert read_order(tmp_path) is None


def test_what_is_whole_and_no_order_is_refused(tmp_path: Path) -> None:
    """A worker does not guess: bytes with the right digest that are no order are an error, in one line."""
    import hashlib

    leave(tmp_path, [hashlib.sha256(b'hello').digest() + b'hello'])
    with pytest.raises(InputError, match='is not an order'):
        read_order(tmp_path)


def test_more_keys_than_secrets_take_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is written to the cluster."""
    monkeypatch.setattr(orders, 'PART_BYTES_MAX', 64)
    monkeypatch.setattr(orders, 'PARTS_MAX', 1)
    with pytest.raises(InputError, match='take fewer devices'):
        packed(ORDER)


def pod(name: str = 'p', node: str = 'pi-1', place: str = 'crypto', **status: Any) -> Object:
    """Return a pod."""
    return {'metadata': {'name': name, 'labels': {'iomtwin/place': place}},
            'spec': {'nodeName': node, 'containers': [{'image': 'an-image'}]} if node else {
                'containers': [{'image': 'an-image'}]}, 'status': status}


def waiting(reason: str, message: str = '', **last: Any) -> dict[str, Any]:
    """Return the status of a pod whose container waits."""
    state = {'waiting': {'reason': reason, 'message': message}}
    return {'containerStatuses': [{'state': state, 'restartCount': 1, 'lastState': last}]}


def ended(message: str) -> dict[str, Any]:
    """Return what a container has left behind."""
    return {'terminated': {'exitCode': 1, 'message': message}}


@pytest.mark.parametrize(('found', 'says', 'is_final'), [
    (pod(node='', conditions=[{'type': 'PodScheduled', 'status': 'False', 'message': '0/3 nodes: Insufficient cpu'}]),
     'no node takes it (0/3 nodes: Insufficient cpu)', False),
    (pod(node=''), 'no node takes it (no word of the scheduler)', False),
    (pod(**waiting('ErrImageNeverPull')), 'pi-1: has no image an-image', True),
    (pod(**waiting('ImagePullBackOff')), 'pi-1: has no image an-image', True),
    (pod(**waiting('CrashLoopBackOff', '', **ended('exec python: exec format error'))),
     'pi-1: the image is of another architecture', True),
    (pod(**waiting('CrashLoopBackOff', '', **ended('x\niomtwin: broker 10.0.0.1:5671: refused'))),
     'pi-1: the broker is not reached from the pod p (iomtwin: broker 10.0.0.1:5671: refused)', True),
    (pod(**waiting('CrashLoopBackOff', '', **ended('iomtwin: other'))), 'pi-1: the pod p has ended (iomtwin: other)',
     True),
    (pod(**waiting('ContainerCreating', 'secret "x" not found')), 'pi-1: p (secret "x" not found)', False),
    (pod(containerStatuses=[{'state': {'running': {}}}]), 'pi-1: p warms up', False),
    (pod(containerStatuses=[{'state': {'waiting': {'reason': 'ContainerCreating'}}}]), 'pi-1: p (ContainerCreating)',
     False),
])
def test_a_pod_that_is_not_ready_says_why(found: Object, says: str, is_final: bool) -> None:
    """In a sentence that names the node or the pod; what waiting cannot mend is final."""
    told = problem(found, [], '10.0.0.1:5671')
    assert told is not None
    assert says in told.says
    assert told.is_final == is_final


def test_the_last_warning_explains_a_pod_without_a_word() -> None:
    """Of several events, the latest that is a warning and about this pod."""
    events = [{'involvedObject': {'name': name}, 'type': kind, 'reason': reason, 'message': 'why', 'lastTimestamp': at}
              for name, kind, reason, at in (('p', 'Warning', 'Old', '1'), ('p', 'Warning', 'New', '2'),
                                             ('p', 'Normal', 'Fine', '3'), ('q', 'Warning', 'Other', '4'))]
    told = problem(pod(node=''), events, '')
    assert told is not None
    assert 'New: why' in told.says


def test_places_are_pinned_to_their_nodes() -> None:
    """Pods in the order of their names, as many as the inventory says; a lack of one is told before a run begins."""
    lab = load_inventory('lab').following((2, 1))
    there = [pod('b'), pod('a'), pod('c', 'pi-2'), pod('d', 'pi-3'), pod('e', 'pi-2', 'server')]
    assert posts(lab, frozenset({'crypto'}), there) == {
        'a': 'pi-1-crypto-1', 'b': 'pi-1-crypto-2', 'c': 'pi-2-crypto-1'}
    with pytest.raises(RunError, match='pi-1: 1 of 2 workers of crypto are ready'):
        posts(lab, frozenset({'crypto'}), there[1:])


def test_an_inventory_of_a_cluster_follows_the_scenario_node_by_node() -> None:
    """Sequential is one worker on the first node; more nodes than the inventory has are refused."""
    lab = load_inventory('lab')
    assert [dict(node.places) for node in lab.following((1, 0, 0)).nodes.values()] == [{'crypto': 1}, {}, {}]
    assert [dict(node.places) for node in lab.following((2, 2, 1)).nodes.values()] == [
        {'crypto': 2}, {'crypto': 2}, {'crypto': 1}]
    with pytest.raises(InputError, match='on 4 nodes, the inventory offers the place on 3'):
        lab.following((1, 1, 1, 1))


def test_what_pods_tell_is_found_among_other_lines() -> None:
    """Begin and end of one run, by its name; lines of others and of no JSON are passed over."""
    log = ('hello\n{"moment": "ready", "facts": {}}\n{"moment": "begin of r", "facts": {"throttled": "0x0"}}\n'
           '{"moment": "end of q", "facts": {}}\n[1]\n{"moment": "end of r", "facts": {"throttled": "0x50000"}}\n')
    assert dict(moments(log, 'r')) == {'begin': {'throttled': '0x0'}, 'end': {'throttled': '0x50000'}}


@pytest.mark.parametrize(('begin', 'end', 'n'), [('0x0', '0x0', 0), ('0x50000', '0x50000', 0), ('0x0', '0x50000', 1),
                                                 ('0x4', '0x4', 1)])
def test_a_node_that_was_throttled_makes_the_run_invalid(begin: str, end: str, n: int) -> None:
    """Bits of now count, and bits of since the start if they came with the run."""
    told = {'p': {'begin': {'node': 'pi-1', 'throttled': begin}, 'end': {'node': 'pi-1', 'throttled': end}}}
    assert len(throttled(told)) == n
