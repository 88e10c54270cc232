"""A scenario that leaves nothing unsaid, and its form on disk.

A file may leave to its hospital which wards a class stands in, and to its folder where profiles and arrivals lie.
`resolve` says both. On disk the scenario lies with everything that it reads, so that it runs again from there alone::

    scenario.yaml   profiles/<name>.yaml   arrivals/<class>.<stream>.csv
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.errors import InputError
from sim.hospital import ward_kinds
from sim.profiles import Profile, load_profile, shipped_profiles
from sim.scenario import Scenario
from sim.yaml_source import Location
from sim.yaml_writing import written

if TYPE_CHECKING:
    from sim.origin import Origin

NOT_HASHED = {'seed', 'replications', 'description'}  # the same experiment, run again
Files = Mapping[tuple[str, str], str]  # class and stream -> the CSV file of its arrivals


def resolve(scenario: Scenario, folder: Path) -> Scenario:
    """Return a scenario with the wards of every class named, and profiles by absolute paths unless they are shipped.

    Parameters
    ----------
    folder
        Where relative paths begin: the folder of the scenario's file.
    """
    shipped = shipped_profiles()
    scenario = _with_profiles(scenario, {
        name: os.path.abspath(folder / name)  # noqa: PTH100 - a link stays the path that its owner wrote
        for _, name in _profile_uses(scenario) if name not in shipped and ('/' in name or name.endswith('.yaml'))})
    devices = {name: device.model_copy(update={'wards': ward_kinds(scenario, device)})
               for name, device in scenario.devices.items()}
    return scenario.model_copy(update={'devices': devices})


def profiles_of(scenario: Scenario, origin: Origin) -> dict[str, Profile]:
    """Read the profiles that a resolved scenario uses, and return them by what it calls them.

    Whoever needs one takes it from here: a file that is edited or deleted later changes nothing.

    Raises
    ------
    InputError
        If one cannot be read.
    """
    found: dict[str, Profile] = {}
    for location, name in _profile_uses(scenario):
        if name not in found:
            try:
                found[name] = load_profile(name)
            except InputError as error:
                raise origin.error(location, str(error)) from None
    return found


def scenario_hash(scenario: Scenario, profiles: Mapping[str, Profile]) -> str:
    """Return the SHA-256 of a scenario with its profiles' contents, without seed, replications and description."""
    digests = {name: profile.sha256 for name, profile in profiles.items()}
    data = _with_profiles(scenario, digests).model_dump(mode='json', exclude=NOT_HASHED)
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def labels(profiles: Mapping[str, Profile]) -> dict[str, str]:
    """Return what each profile is called in a run folder: its name, with its digest if another one has that name."""
    digests = defaultdict(set)
    for profile in profiles.values():
        digests[profile.name].add(profile.sha256)
    return {key: profile.name if len(digests[profile.name]) == 1 else f'{profile.sha256[:8]}/{profile.name}'
            for key, profile in profiles.items()}


def write_resolved(folder: Path, scenario: Scenario, profiles: Mapping[str, Profile]) -> None:
    """Write a scenario and everything that it reads into a folder."""
    files = {name: f'profiles/{label}.yaml' for name, label in labels(profiles).items()}
    for name, file in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(profiles[name].contents)
    arrivals = {(class_name, name): f'arrivals/{class_name}.{name}.csv'
                for class_name, device in scenario.devices.items()
                for name, stream in device.streams.items() if stream.arrivals is not None}
    for (class_name, name), file in arrivals.items():
        (folder / 'arrivals').mkdir(exist_ok=True)
        rows = scenario.devices[class_name].streams[name].arrivals or ()
        (folder / file).write_text(
            'device,time_s\n' + ''.join(f'{device},{time_s!r}\n' for device, time_s in rows), 'utf-8')
    (folder / 'scenario.yaml').write_text(resolved_yaml(_with_profiles(scenario, files), arrivals), 'utf-8')


def resolved_yaml(scenario: Scenario, arrivals: Files | None = None) -> str:
    """Return a scenario as YAML, each list on one line; arrivals of which a file is given by its name."""
    data = scenario.model_dump(mode='json')
    for (class_name, name), file in (arrivals or {}).items():
        data['devices'][class_name]['streams'][name]['arrivals'] = file
    return written(data)


def _profile_uses(scenario: Scenario) -> Iterator[tuple[Location, str]]:
    """Yield each profile's name with where it stands."""
    for table, users in ((('devices',), scenario.devices), (('edge', 'nodes'), scenario.edge.nodes)):
        for name, user in users.items():
            yield (*table, name, 'profile'), user.profile
    yield ('edge', 'server', 'profile'), scenario.edge.server.profile


def _with_profiles(scenario: Scenario, names: Mapping[str, str]) -> Scenario:
    """Return a scenario that calls its profiles otherwise."""

    def renamed(part: Any) -> Any:
        return part.model_copy(update={'profile': names.get(part.profile, part.profile)})

    edge = scenario.edge.model_copy(update={
        'nodes': {name: renamed(node) for name, node in scenario.edge.nodes.items()},
        'server': renamed(scenario.edge.server)})
    devices = {name: renamed(device) for name, device in scenario.devices.items()}
    return scenario.model_copy(update={'edge': edge, 'devices': devices})
