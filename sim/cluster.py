"""The cluster's computers as routes need them: their stations, their profiles, and their links to the broker."""

from collections.abc import Mapping
from dataclasses import dataclass

from sim.profiles import Profile
from sim.scenario import Wire


@dataclass(frozen=True)
class Worker:
    """A station that works on messages, and the links between it and the broker."""

    station: int
    profile: Profile
    from_broker: tuple[int, ...]
    to_broker: tuple[int, ...]


@dataclass(frozen=True)
class Cluster:
    """Stations and profiles of the computers."""

    broker: int
    broker_profile: Profile
    server: int
    server_profile: Profile
    pods: tuple[int, ...]
    pod_profiles: tuple[Profile, ...]  # in the order of the pods' law_offset
    wire: Wire  # between each of them and the cluster's switch
    workers: Mapping[str, Worker]  # all that open devices' messages: the pods and the server, by their names
    authority: Worker | None
