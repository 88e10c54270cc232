"""Calibrates the nodes of a cluster, one after the other: a Job on each, whose log is the node's profile."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from hil.cluster.client import Api, ClusterError
from hil.cluster.kinds import CALIBRATION, NAME
from hil.cluster.manifests import calibration_job
from hil.cluster.pods import is_leaving, name_of, problem
from sim.errors import InputError
from sim.profile_reading import read_entry

if TYPE_CHECKING:
    from hil.cluster.kustomization import Object
    from hil.inventory import Inventory

BEGIN_S_MAX = 300.0  # beside what the calibration itself takes: a pod starts, Ascon is compiled
POLL_S = 2.0
PODS = f'{NAME}={CALIBRATION}'


def calibrate_node(api: Api, inventory: Inventory, node: str, seconds: float,
                   progress: Callable[[str], None] = lambda _: None) -> str:
    """Return the text of a node's profile, which has the node's name; its Job is gone behind.

    Raises
    ------
    InputError
        If the inventory has no such node.
    ClusterError
        If the Job fails or is not done in time: with its last word.
    """
    if node not in inventory.nodes:
        raise InputError(f"'{node}' is no node of the inventory; write one of {', '.join(inventory.nodes)}")
    job = calibration_job(inventory, node, seconds)
    name = name_of(job)
    progress(f'the calibration of {node}')
    api.create(job)
    try:
        pod = _ended(api, name, seconds, progress)
        log = api.log(name_of(pod))
    finally:
        api.delete('Job', name)
    if pod['status']['phase'] != 'Succeeded':
        lines = log.strip().splitlines()
        raise ClusterError(f'{node}: its calibration has failed ({lines[-1] if lines else "no word"})')
    read_entry(f'{node}.yaml', log, node)
    return log


def _ended(api: Api, job: str, seconds: float, progress: Callable[[str], None]) -> Object:
    """Return the pod of a Job when it has ended."""
    until = time.monotonic() + BEGIN_S_MAX + 2 * seconds
    while time.monotonic() < until:
        for pod in api.list('Pod', f'{PODS},job-name={job}'):
            if pod['status'].get('phase') in ('Succeeded', 'Failed'):
                return pod
            trouble = problem(pod, api.list('Event'), '\n')
            if trouble is not None and not is_leaving(pod):
                progress(trouble.says)
                if trouble.is_final:
                    raise ClusterError(trouble.says)
        time.sleep(POLL_S)
    raise ClusterError(f'{job}: is not done after {BEGIN_S_MAX + 2 * seconds:g} s; look at its pod')
