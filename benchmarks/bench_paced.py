"""How well the twin keeps time with 200 messages a second on real workers. Prints a table and writes PACED.md.

Broker, workers and twin are real processes of this machine. Events are those of the model: what devices and the network
do before a message leaves for the workers.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # beside this file
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from machine import machine

from hil.inventory import load_inventory
from hil.paced.running import execute, plan
from sim.loading import load

RESULTS = Path(__file__).resolve().parent / 'PACED.md'
DURATION_S, WARM_UP_S = 40, 4
CLIENTS = (25, 50, 100, 150)  # two messages a second each
HEAD = ('messages/s', 'events/s', 'sent late p50 ms', 'p99 ms', 'heard late p99 ms', 'event late p99 ms', 'scheduling')


def main() -> None:
    """Measure all rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true', help='one rate, and PACED.md stays as it is')
    arguments = parser.parse_args()
    lines = ['# How well the twin keeps time', '', *machine(('pika', 'simpy', 'numba')),
             f'- made by `{Path(sys.executable).name} benchmarks/bench_paced.py`', '', *NOTES,
             f'| {" | ".join(HEAD)} |', f'|{"---:|" * len(HEAD)}']
    print('\n'.join(lines))
    for n in CLIENTS[2:3] if arguments.quick else CLIENTS:
        lines.append(f'| {" | ".join(row(n))} |')
        print(lines[-1], flush=True)
    if not arguments.quick:
        lines += ['', f'Load {os.getloadavg()[0]:.1f} at the end.', '']
        RESULTS.write_text('\n'.join(lines), 'utf-8')


NOTES = (
    f'Scenario `testbed` without learning, {DURATION_S} s, three crypto workers; a client sends two messages of 1 KiB',
    'a second. Late: a message that left after the model had it due; a reply that came before a time already past.', '')


def row(n_clients: int) -> list[str]:
    """Run with some clients; return the row of the table."""
    scenario, origin = load('testbed', [f'duration={DURATION_S} s', f'warm_up={WARM_UP_S} s', 'learning=null',
                                        f'devices.client.count={n_clients}'])
    execution = execute(plan(scenario, origin, load_inventory('local')))
    assert execution.measured is not None
    facts = execution.measured.facts
    late = [f'{1e3 * facts["pacing"][name]:.2f}' for name in (
        'sent_late_p50_s', 'sent_late_p99_s', 'heard_late_p99_s', 'event_late_p99_s')]
    recording = execution.recording
    return [f'{recording.n_launched / DURATION_S:.0f}', f'{recording.n_events / DURATION_S:,.0f}', *late,
            facts['scheduling']]


if __name__ == '__main__':
    main()
