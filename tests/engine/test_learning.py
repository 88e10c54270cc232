"""Rounds of federated learning: quorum, deadline, stragglers."""

import numpy as np

from sim.building import Hop, ModelBuilder
from sim.controllers import federated_learning
from sim.model import LINK, OWN_CPU, SERVE, LearningPlan, Model
from sim.results.recording import RoundRow
from tests.engines import Engine
from tests.tables import jobs


def learning_model(n_clients: int, publish_s: float = 0.5) -> tuple[Model, int]:
    """Return a server (the last row) that publishes in 0.5 s, and clients that train on their CPUs.

    Aggregation takes 0.25 s for each 100 bytes, without bound, so that its time says what it was given.
    """
    b = ModelBuilder()
    clients, server = b.class_('client'), b.class_('server')
    b.entities(clients, [-1] * n_clients)
    server_row = int(b.entities(server, [-1])[0])
    flows = {'fl-publish': (server, 'publish', publish_s), 'fl-update': (clients, 'fl.train', 1.0),
             'fl-aggregate': (server, 'fl.aggregate', 0.0)}
    for name, (row, stage, amount) in flows.items():
        curve = b.curve((0.0, 400.0), (0.0, 1.0)) if stage == 'fl.aggregate' else 0
        b.route(b.stream(name, name), row, [Hop(SERVE, OWN_CPU, stage, amount=amount, curve=curve)])
    return b.build(duration_s=1_000.0), server_row


def learn(engine: Engine, samples: list[float], publish_s: float = 0.5, **plan: float) -> list[RoundRow]:
    """Run rounds in which client i trains for samples[i] seconds and answers with 100 bytes."""
    model, server = learning_model(len(samples), publish_s)
    settings = {'rounds': 2, 'fraction': 1.0, 'quorum': 1.0, 'deadline_s': 100.0, 'start_s': 0.0, 'pause_s': 0.0}
    rounds: list[RoundRow] = []
    learning = LearningPlan(clients=np.arange(len(samples)), server=server, samples=np.array(samples), update_bytes=100,
                            **(settings | plan))  # type: ignore[arg-type]
    engine(model, controllers=(federated_learning(learning, rounds),))
    return rounds


def test_synchronous_round_waits_for_all(engine: Engine) -> None:
    """Clients train 1, 2 and 3 s: published at 0.5, closed at 3.5, three updates aggregated in 0.75; then again."""
    rounds = learn(engine, [1.0, 2.0, 3.0], start_s=10.0, pause_s=2.0)
    assert [(r.started_s, r.closed_s, r.aggregated_s, r.n_delivered) for r in rounds] == [
        (10.0, 13.5, 14.25, 3), (16.25, 19.75, 20.5, 3)]
    assert {r.ended for r in rounds} == {'complete'}


def test_round_closes_at_its_quorum(engine: Engine) -> None:
    """Quorum 0.5 of four clients: the round closes with the second update, at 0.5 + 2 s."""
    rounds = learn(engine, [4.0, 1.0, 2.0, 3.0], quorum=0.5, rounds=1)
    assert [(r.closed_s, r.n_delivered, r.aggregated_s) for r in rounds] == [(2.5, 2, 3.0)]  # in 0.5 s


def test_quorum_is_rounded_up(engine: Engine) -> None:
    """Quorum 0.5 of three clients is two of them."""
    assert [(r.closed_s, r.n_delivered) for r in learn(engine, [1.0, 2.0, 3.0], quorum=0.5, rounds=1)] == [(2.5, 2)]


def test_round_closes_at_its_deadline_with_what_is_there(engine: Engine) -> None:
    """Clients train 1 s and 50 s, the deadline is 5 s after publication: closed at 5.5 with one update."""
    rounds = learn(engine, [1.0, 50.0], deadline_s=5.0, rounds=1)
    assert [(r.closed_s, r.n_delivered, r.aggregated_s) for r in rounds] == [(5.5, 1, 5.75)]


def test_round_without_an_update_is_not_aggregated(engine: Engine) -> None:
    """Nobody is in time: the round closes at its deadline and nothing is aggregated."""
    rounds = learn(engine, [50.0], deadline_s=5.0, rounds=1)
    assert (rounds[0].closed_s, rounds[0].n_delivered) == (5.5, 0)
    assert np.isnan(rounds[0].aggregated_s)
    assert rounds[0].ended == 'no update'


def test_round_that_is_not_published_in_time_fails_and_the_next_begins(engine: Engine) -> None:
    """Publishing takes 4 s of a deadline of 3: closed at 3, no update asked for; the second round queues behind it.

    It waits until 4, and its own publication would end at 8: it fails at 6.
    """
    rounds = learn(engine, [1.0], publish_s=4.0, deadline_s=3.0)
    assert [(r.started_s, r.closed_s, r.jobs.size, r.ended) for r in rounds] == [
        (0.0, 3.0, 0, 'not published'), (3.0, 6.0, 0, 'not published')]
    assert all(np.isnan(r.aggregated_s) for r in rounds)


def test_round_that_is_not_aggregated_in_time_fails_and_the_next_begins(engine: Engine) -> None:
    """Twenty updates take 5 s of a deadline of 4 to aggregate: closed at 1.5, failed at 5.5, and no model is made.

    The second round's publication waits for the server until 6.5.
    """
    rounds = learn(engine, [1.0] * 20, deadline_s=4.0)
    assert [(r.started_s, r.closed_s, r.n_delivered, r.ended) for r in rounds] == [
        (0.0, 1.5, 20, 'not aggregated'), (5.5, 8.0, 20, 'not aggregated')]
    assert all(np.isnan(r.aggregated_s) for r in rounds)


def test_round_whose_publication_is_lost_fails_at_once(engine: Engine) -> None:
    """The server's message is lost on a link with one attempt and hardly a chance: failed before the deadline."""
    b = ModelBuilder()
    row = b.class_('server')
    b.entities(row, [-1])
    cut = b.station('cut', (8_000.0,), frame_bytes=1_000, loss_ratio=1.0 - 1e-12, attempts_max=1)
    for name in ('fl-publish', 'fl-update', 'fl-aggregate'):
        b.route(b.stream(name, name), row, [Hop(LINK, cut, n_bytes=1_000, segment_bytes=1_000)])
    rounds: list[RoundRow] = []
    plan = LearningPlan(clients=np.array([0]), server=0, rounds=1, fraction=1.0, quorum=1.0, deadline_s=9.0,
                        start_s=0.0, pause_s=0.0, samples=np.ones(1), update_bytes=1)
    engine(b.build(duration_s=100.0), controllers=(federated_learning(plan, rounds),))
    assert [(r.closed_s, r.ended) for r in rounds] == [(1.0, 'not published')]


def test_late_update_is_ignored_in_next_round(engine: Engine) -> None:
    """Client 1 trains 7 s, beyond the deadline of 5 s; its first update comes at 7.5, within the second round.

    The second round runs from 5.75 (published 6.25) to its deadline at 11.25, because it counts client 0 (7.25) only:
    had the late update counted, it would have closed with two at 7.5.
    """
    rounds = learn(engine, [1.0, 7.0], deadline_s=5.0)
    assert [(r.started_s, r.closed_s, r.n_delivered) for r in rounds] == [(0.0, 5.5, 1), (5.75, 11.25, 1)]


def test_fraction_of_the_clients_is_chosen_anew_each_round(engine: Engine) -> None:
    """A fifth of 20 clients: four a round, by draws that do not repeat from round to round."""
    model, server = learning_model(20)
    rounds: list[RoundRow] = []
    plan = LearningPlan(clients=np.arange(20), server=server, rounds=10, fraction=0.2, quorum=1.0, deadline_s=9.0,
                        start_s=0.0, pause_s=0.0, samples=np.ones(20), update_bytes=1)
    table = jobs(engine(model, controllers=(federated_learning(plan, rounds),)))
    chosen = [frozenset(table['entity'][r.jobs].tolist()) for r in rounds]
    assert {len(clients) for clients in chosen} == {4}
    assert len(set(chosen)) > 1
