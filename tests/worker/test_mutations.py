"""A hundred thousand damaged messages: each has an outcome, none stops a worker, and memory stays where it is."""

import gc
import random
import resource
from collections import Counter
from dataclasses import replace
from pathlib import Path

from hil.broker.names import DEAD
from hil.wire.codec import HEADER_BYTES_MAX, encode
from hil.worker.dispatcher import DONE, DUPLICATE, Dispatcher
from hil.worker.learning import Parameters
from tests.worker.hospital import AT_DEVICE, FROM_DEVICE, TO_DEVICE, Hospital
from tests.worker.mutations import MUTATIONS, mutated

N = 100_000
SEED = 20_261_126
N_DEVICES = 20
REASONS = {'malformed', 'oversized', 'version', 'unknown-run', 'unknown-key', 'misrouted', 'replayed', 'tampered'}
GROWTH_BYTES_MAX = 16 << 20  # windows of twenty senders and confirmed results, and what the allocator keeps


def corpus(hospital: Hospital) -> tuple[list[bytes], list[bytes]]:
    """Return sound messages of every kind that the crypto place takes, sealed ones and those that it is to seal."""
    device, small = hospital.dispatcher('device'), Parameters(0, 0, 1, 1, bytes(400))
    models = [encode(hospital.model(i, i, small, (TO_DEVICE, AT_DEVICE, FROM_DEVICE))) for i in range(5)]
    sealing = (replace(AT_DEVICE, first=10), FROM_DEVICE)  # without training: an update of any size
    updates = [device.handle(encode(hospital.model(i, i, small, sealing))).publication for i in range(5)]
    vitals = [encode(hospital.vitals(100 + i, i % N_DEVICES, bytes(i))) for i in range(60)]
    return [*(each.body for each in updates if each), *vitals], models


def run(dispatcher: Dispatcher, sound: list[bytes], n: int, seed: int) -> Counter[tuple[str, str]]:
    """Handle damaged messages; count outcomes by the kind of damage."""
    generator = random.Random(seed)
    found = Counter[tuple[str, str]]()
    for _ in range(n):
        kind, raw = mutated(sound, generator)
        handled = dispatcher.handle(raw)
        found[kind, handled.outcome] += 1
        if handled.publication is not None:
            dispatcher.confirmed(handled, 1, 2)
            if handled.publication.to == DEAD:
                assert handled.why
                assert len(handled.publication.body) <= HEADER_BYTES_MAX
    return found


def resident_bytes() -> int:
    """Return the memory that this process holds."""
    gc.collect()
    return int(Path('/proc/self/statm').read_text().split()[1]) * resource.getpagesize()


def test_a_hundred_thousand_damaged_messages() -> None:
    """Seeded mutations of 17 kinds of 70 sound messages: known outcomes only, and memory grows by a bounded amount."""
    hospital = Hospital(N_DEVICES)
    sealed, plain = corpus(hospital)
    dispatcher = hospital.dispatcher('crypto')
    warm = run(dispatcher, sealed, 5_000, SEED)
    before = resident_bytes()
    found = warm + run(dispatcher, sealed, N - 10_000, SEED + 1)
    found_plain = run(dispatcher, plain, 5_000, SEED + 2)
    grown = resident_bytes() - before
    outcomes = Counter[str]()
    for (_, outcome), n in (*found.items(), *found_plain.items()):
        outcomes[outcome] += n
    print(f'seed {SEED}: {dict(outcomes.most_common())}; {grown / 2**20:.2f} MiB more than after 5,000')
    assert outcomes.total() == N
    assert set(outcomes) == REASONS | {DONE, DUPLICATE}
    assert {kind for kind, _ in found} == set(MUTATIONS)
    assert grown < GROWTH_BYTES_MAX
    # Nothing that changes what a seal covers is ever acted on.
    for kind in ('body', 'job', 'counter', 'sender', 'cut', 'longer', 'noise', 'version', 'length'):
        assert found[kind, DONE] == 0, kind
    assert dispatcher.handle(encode(hospital.vitals(10**6, 3))).outcome == DONE


def test_damaged_updates_leave_the_aggregate_as_it_was(tmp_path: Path) -> None:
    """A thousand damaged copies of updates between the sound ones: dead letters, and the average is the same."""
    hospital = Hospital(3)
    updates = [encode(hospital.update(i, Parameters(0, i, 1 + i, 3, bytes([i]) * 400))) for i in range(3)]
    generator = random.Random(SEED)
    averages = []
    for folder, n in ((tmp_path / 'clean', 0), (tmp_path / 'damaged', 1000)):
        server = hospital.dispatcher('server', folder=folder)
        for raw in updates:
            for _ in range(n // 3):
                kind = generator.choice(['cut', 'longer', 'noise', 'version', 'length', 'run'])
                assert server.handle(mutated([raw], generator, kind)[1]).publication.to == DEAD
            handled = server.handle(raw)
        averages.append(handled.result.body)
    assert averages[0] == averages[1] != b''
