"""Removes what dead runs have left on a broker: a run is dead when nobody takes its replies."""

from hil.broker import topology
from hil.broker.connection import connect
from hil.cluster import client as cluster_client
from hil.cluster.workers import remove_order, run_of_order
from hil.inventory import Cluster, Inventory
from sim.errors import InputError


def clean_dead_runs(inventory: Inventory) -> list[str]:
    """Clean each dead run of an inventory's broker; return a line for each run that was found.

    Raises
    ------
    InputError
        If the broker is private: it is gone with its run.
    BrokerError
        If the broker is not found, or refuses the twin.
    """
    if inventory.broker.private:
        raise InputError('the inventory has a private broker, which is gone with its run, and all it held; there is '
                         'nothing to clean')
    with connect(inventory.broker.endpoint(), inventory.broker.credentials_of('twin'), 'twin clean') as connection:
        lines = []
        for run in topology.runs(connection):
            if run.has_twin:
                lines.append(f'{run.name}: lives, {run.n_workers} workers; left alone')
            else:
                topology.clean(connection, run.name)
                lines.append(f'{run.name}: removed, with {run.n_messages:,} messages')
        living = {run.name for run in topology.runs(connection) if run.has_twin}
    if inventory.cluster is not None:
        lines += _clean_order(inventory.cluster, living)
    return lines or ['no run has left anything']


def _clean_order(cluster: Cluster, living: set[str]) -> list[str]:
    """Take the order of a dead run from a cluster's pods, with the keys in it."""
    api = cluster_client.connect(cluster.context, cluster.namespace)
    run = run_of_order(api)
    if run is None or run in living:
        return []
    remove_order(api)
    return [f'{run}: its order is removed from the cluster']
