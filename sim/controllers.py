"""Controllers: linear coroutines that launch jobs and react to their outcomes, in any world.

`federated_learning` runs synchronous rounds: choose clients, publish the model, let each client fetch, train and
answer, close the round at the quorum or at the deadline, aggregate. Updates of stragglers end in the inbox of
their own round, which nobody reads any more. What the server does alone, publishing and aggregating, may take as long
as the deadline each; a round in which it does not come to that, or in which nobody answers, has failed, and the next
one begins. Left out: what is learnt; only its time and bytes are modelled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from sim.model import DELIVERED, Ints, LearningPlan
from sim.results.recording import RoundRow
from sim.worlds import Controller, World

ROUNDING = 1e-9  # 0.28 of 25 clients are 7, though 0.28 * 25 is a little more


def federated_learning(plan: LearningPlan, rounds: list[RoundRow],
                       after_round: Callable[[World, int, Ints], None] | None = None) -> Controller:
    """Return the controller of synchronous federated learning; each round is appended to `rounds`.

    `after_round` is called with the number of each round that is over and with its clients.
    """

    async def run(world: World) -> None:
        await world.sleep(plan.start_s)
        for number in range(plan.rounds):
            clients = _choose(world, plan, number)
            await _round(world, plan, number, clients, rounds)
            if after_round is not None:
                after_round(world, number, clients)
            if number + 1 < plan.rounds and plan.pause_s > 0.0:
                await world.sleep(plan.pause_s)

    return Controller('federated-learning', run)


async def _round(world: World, plan: LearningPlan, number: int, clients: Ints, rounds: list[RoundRow]) -> None:
    row = RoundRow(number, world.now(), clients.size, np.empty(0, np.int64))
    rounds.append(row)
    if not await _serve(world, plan, 'fl-publish', {}):
        row.closed_s, row.ended = world.now(), 'not published'
        return
    updates = world.inbox()
    samples = plan.samples[np.searchsorted(plan.clients, clients)]
    row.jobs = world.launch('fl-update', clients, inbox=updates, amounts={'fl.train': samples})
    await _gather(world, plan, updates, row)
    row.closed_s = world.now()
    if not row.n_delivered:
        row.ended = 'no update'
    elif await _serve(world, plan, 'fl-aggregate', {'fl.aggregate': float(row.n_delivered * plan.update_bytes)}):
        row.aggregated_s, row.ended = world.now(), 'complete'
    else:
        row.ended = 'not aggregated'


async def _serve(world: World, plan: LearningPlan, flow: str, amounts: dict[str, float]) -> bool:
    """Let the server do a job and return whether it was delivered before the deadline."""
    inbox = world.inbox()
    world.launch(flow, np.array([plan.server]), inbox=inbox, amounts=amounts)
    outcomes = await inbox.take(1, plan.deadline_s)
    return bool((outcomes.outcome == DELIVERED).any())


def _choose(world: World, plan: LearningPlan, number: int) -> Ints:
    """Return the clients of a round: those with the smallest draws, at least one, in row order."""
    n = max(1, math.floor(plan.fraction * plan.clients.size + 0.5))
    if n == plan.clients.size:
        return plan.clients
    draws = world.uniform(plan.clients, 'fl.select', number)
    return np.sort(plan.clients[np.argsort(draws, kind='stable')[:n]])


async def _gather(world: World, plan: LearningPlan, updates: Any, row: RoundRow) -> None:
    """Wait for the quorum of delivered updates, for the end of all jobs, or for the deadline."""
    quorum = max(1, math.ceil(plan.quorum * row.n_selected - ROUNDING))
    until_s = world.now() + plan.deadline_s
    n_ended = 0
    while row.n_delivered < quorum and n_ended < row.n_selected and world.now() < until_s:
        missing = min(quorum - row.n_delivered, row.n_selected - n_ended)
        outcomes = await updates.take(missing, until_s - world.now())
        n_ended += outcomes.n
        row.n_delivered += int(np.count_nonzero(outcomes.outcome == DELIVERED))
        if outcomes.n == 0:
            break
    row.quorum_met = row.n_delivered >= quorum
