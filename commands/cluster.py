"""Commands about a cluster: what runs on it, deployed, looked at and removed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.interrupts import unwinding
from analysis.terminal import say, show
from commands.options import InventoryName, Overrides

if TYPE_CHECKING:
    from hil.cluster.client import Api
    from hil.inventory import Inventory

k3s = typer.Typer(no_args_is_help=True, help='Workers on a Kubernetes cluster, K3s on Raspberry Pi above all.')
LAB = 'lab'
Scenario = Annotated[str | None, typer.Option('--scenario', metavar='SCENARIO', help=(
    'Whose crypto workers the nodes are to have, for an inventory that follows one; else as many as it says.'))]


@k3s.command('render')
def render(*, inventory: InventoryName = LAB, scenario: Scenario = None, overrides: Overrides = None) -> None:
    """Write an inventory's objects as YAML, but no Secret: what is secret is in no file."""
    from hil.cluster.manifests import manifests
    from sim.yaml_writing import written_documents

    say(written_documents(manifests(_inventory(inventory, scenario, overrides))))


@k3s.command('apply')
def apply(*, inventory: InventoryName = LAB, scenario: Scenario = None, overrides: Overrides = None,
          timeout: Annotated[float, typer.Option(min=1, max=86_400, help='Seconds until workers must be ready.')] = 600,
          ) -> None:
    """Bring an inventory's objects to its cluster and wait until its workers are ready; twice is as good as once."""
    from analysis.progress import waiting_line
    from hil.cluster import deploying

    found = _inventory(inventory, scenario, overrides)
    with unwinding(), waiting_line() as waiting:
        done = deploying.apply(_api(found), found, waiting, ready_s_max=timeout)
    say(''.join(f'{label}: {what}\n' for label, what in done))


@k3s.command('status')
def status(*, inventory: InventoryName = LAB) -> None:
    """Say how an inventory's nodes and workers are."""
    from analysis.tables import plain_table
    from hil.cluster import deploying

    found = _inventory(inventory, None, None)
    with unwinding():
        rows = deploying.status(_api(found), found)
    show(plain_table(rows))


@k3s.command('calibrate')
def calibrate(*, inventory: InventoryName = LAB, out: Annotated[Path, typer.Option(
        metavar='DIR', help='A profile of each node, named like it.')] = Path('calibrated'),
        seconds: Annotated[float, typer.Option(min=1, max=3_600, help='For each node.')] = 120) -> None:
    """Time the real primitives on each node of an inventory, one after the other, and write a profile of each."""
    from analysis.progress import waiting_line
    from hil.cluster.calibrating import calibrate_node
    from sim.results.folder import complete_file

    found = _inventory(inventory, None, None)
    api = _api(found)
    out.mkdir(parents=True, exist_ok=True)
    for node in found.nodes:
        with unwinding(), waiting_line() as waiting, complete_file(out / f'{node}.yaml') as partial:
            partial.write_text(calibrate_node(api, found, node, seconds, waiting), 'utf-8')
        say(f'profile: {out / node}.yaml\n')


@k3s.command('delete')
def delete(*, inventory: InventoryName = LAB) -> None:
    """Remove from an inventory's cluster what was made there, and nothing else."""
    from analysis.progress import waiting_line
    from hil.cluster import deploying

    found = _inventory(inventory, None, None)
    with unwinding(), waiting_line() as waiting:
        removed = deploying.delete(_api(found), waiting)
    say(''.join(f'{label}: removed\n' for label in removed) or 'there was nothing of ours\n')


def _inventory(name: str, scenario: str | None, overrides: list[str] | None) -> Inventory:
    """Return an inventory, with the workers that a scenario asks for if one is named."""
    from hil.inventory import load_inventory

    found = load_inventory(name)
    if scenario is None:
        if overrides:
            raise typer.BadParameter('--set changes a scenario; name one with --scenario')
        return found
    from sim.loading import load
    from sim.placement import pods_per_node
    from sim.running import prepare

    loaded, origin = load(scenario, overrides or [])
    return found.following(pods_per_node(loaded, prepare(loaded, origin).profiles))


def _api(inventory: Inventory) -> Api:
    from hil.cluster.client import connect
    from hil.cluster.manifests import cluster_of

    cluster = cluster_of(inventory)
    return connect(cluster.context, cluster.namespace)
