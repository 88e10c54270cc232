"""The hospital that a scenario builds: its graph, its floors, and where its devices are."""

from collections import Counter

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.hospital import BACKUP, CLUSTER, CORE, PRIMARY, Hospital, build, floor_switch, n_at_beds
from sim.loading import load, shipped_scenarios
from tests.scenario.clinic import CLINIC


def hospital_of(*overrides: str) -> Hospital:
    """Return the clinic's hospital with overrides."""
    return build(*load(CLINIC, overrides))


def at_each(hospital: Hospital, class_name: str) -> Counter[str]:
    """Return how many devices of a class each access point has, those without any left out."""
    return Counter(hospital.access_points[row].name for row in hospital.attachments[class_name].tolist())


@pytest.mark.parametrize('name', shipped_scenarios())
def test_every_shipped_hospital_is_one_tree_of_infrastructure(name: str) -> None:
    """All nodes are connected, by one edge less than nodes once the second uplinks are left out."""
    graph = build(*load(name)).graph
    assert nx.is_connected(graph)
    primary = [edge for edge in graph.edges(keys=True) if edge[2] != BACKUP]
    assert len(primary) == graph.number_of_nodes() - 1


@pytest.mark.parametrize('name', shipped_scenarios())
def test_every_device_is_attached_to_an_access_point_of_its_kind_in_its_wards(name: str) -> None:
    """Shown for each device of the shipped scenarios."""
    scenario, origin = load(name)
    hospital = build(scenario, origin)
    for class_name, device in scenario.devices.items():
        for row in np.unique(hospital.attachments[class_name]).tolist():
            point = hospital.access_points[row]
            assert point.kind == device.link
            assert not device.wards or point.ward.rpartition('-')[0] in device.wards


def test_way_from_a_floor_goes_over_its_uplink_and_the_core() -> None:
    """From the second floor to a node: the floor's own uplink, the core's link and the node's, in this order."""
    hospital = hospital_of('wiring.backup={rate: 1 Mbit/s, latency: 5 ms}')
    for uplink in (PRIMARY, BACKUP):
        labels, wires = zip(*hospital.path(2, 'edge-2', uplink), strict=True)
        name = 'uplink' if uplink == PRIMARY else 'backup'
        assert labels == (f'{floor_switch(2)}-{name}', 'core-link', 'edge-2-link')
        assert wires[0].rate == (1e9 if uplink == PRIMARY else 1e6)
    assert hospital.graph.number_of_edges(floor_switch(1), CORE) == 2
    assert hospital.graph.number_of_edges(CORE, CLUSTER) == 1


@pytest.mark.parametrize(('per_floor', 'floors'), [(1, [1, 2, 3]), (2, [1, 1, 2]), (3, [1, 1, 1])])
def test_wards_fill_the_floors_in_the_order_of_the_file(per_floor: int, floors: list[int]) -> None:
    """Two wards and a theatre with one to three a floor."""
    hospital = hospital_of(f'wards_per_floor={per_floor}')
    of_ward = {point.ward: point.floor for point in hospital.access_points}
    assert of_ward == dict(zip(['ward-1', 'ward-2', 'theatre-1'], floors, strict=True))
    assert hospital.n_floors == floors[-1]


@given(count=st.integers(1, 60), wards=st.integers(1, 5), points=st.integers(1, 4))
def test_count_is_spread_evenly(count: int, wards: int, points: int) -> None:
    """For any count, wards and access points: no ward has two devices more than another, nor any of its points."""
    hospital = hospital_of(f'devices.tag.count={count}', f'wards.ward.count={wards}',
                           f'wards.ward.access_points.router={points}')
    at_points = at_each(hospital, 'tag')
    assert at_points.total() == count
    in_wards = [[at_points[f'ward-{i + 1}/router-{j + 1}'] for j in range(points)] for i in range(wards)]
    assert max(map(sum, in_wards)) - min(map(sum, in_wards)) <= 1
    for at_point in in_wards:
        assert max(at_point) - min(at_point) <= 1


@pytest.mark.parametrize(('per_bed', 'expected'), [
    ('1', [4, 4, 2]), ('0.5', [2, 2, 1]), ('0.3', [1, 1, 1]), ('0.2', [1, 1, 0]), ('2.2', [9, 9, 4])])
def test_devices_by_beds_are_rounded_in_each_ward(per_bed: str, expected: list[int]) -> None:
    """Wards of 4, 4 and 2 beds: the product, rounded to the nearest whole number, halves up."""
    hospital = hospital_of(f'devices.monitor.per_bed={per_bed}')
    at_points = at_each(hospital, 'monitor')
    assert [at_points[f'{ward}/port-1'] for ward in ('ward-1', 'ward-2', 'theatre-1')] == expected


def test_class_without_wards_is_in_all_wards_that_have_its_link() -> None:
    """Tags go to the wards with a router only; pumps, once their wards are not named, to the theatre too."""
    hospital = hospital_of('devices.pump.wards=[]', 'devices.pump.count=3')
    assert at_each(hospital, 'tag') == {'ward-1/router-1': 2, 'ward-2/router-1': 2}
    assert at_each(hospital, 'pump') == {'ward-1/wifi-1': 1, 'ward-2/wifi-1': 1, 'theatre-1/wifi-1': 1}


def test_devices_by_the_bed_are_rounded_once_and_not_ward_by_ward() -> None:
    """Twenty wards of 9 beds and one of 60, one device to 20 beds: 12, not the 4 that each ward for itself comes to."""
    assert sum(n_at_beds(0.05, [9] * 20 + [60])) == 12
    assert sum(n_at_beds(0.06, [9] * 20 + [60])) == 14
    assert n_at_beds(0.5, [15, 15, 29]) == [8, 7, 15]
