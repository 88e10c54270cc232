"""How fast the engines are, and how much memory they take. Prints a table; asserts nothing.

Every row is a process of its own, so that its peak memory is its own; rates are of the engine alone, the best of the
repetitions, because other work on a machine only slows a run down. The first row of each engine compiles or loads.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # beside this file
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stars import plain_simpy, rich_star, star

STARS = {'star': star, 'rich-star': rich_star}


def main() -> None:
    """Run one case, or all of them in processes of their own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--case', help='as JSON: one row, for the processes that this starts')
    parser.add_argument('--quick', action='store_true', help='fewer messages and no large cases')
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(**json.loads(arguments.case))))
        return
    print(f'Python {platform.python_version()}, {platform.machine()}, {platform.processor() or "processor unknown"}')
    print(f'{"case":34s}{"engine":>12s}{"messages":>12s}{"hops":>13s}{"seconds":>9s}{"messages/s":>12s}{"hops/s":>13s}'
          f'{"build s":>9s}{"MiB":>7s}')
    for case in cases(quick=arguments.quick):
        row = in_process(case)
        name = f'{case["what"]}' + (f', {case["n_devices"]:,} devices' if 'n_devices' in case else '')
        print(f'{name:34s}{case["engine"]:>12s}{row["messages"]:>12,}{row["hops"]:>13,}{row["seconds"]:>9.2f}'
              f'{row["messages"] / row["seconds"]:>12,.0f}{row["hops"] / row["seconds"]:>13,.0f}'
              f'{row["build_s"]:>9.2f}{row["mib"]:>7,.0f}', flush=True)


def cases(*, quick: bool) -> list[dict[str, object]]:
    """Return the rows of the table."""
    n = 20_000 if quick else 200_000
    rows: list[dict[str, object]] = [
        {'what': 'star', 'engine': engine, 'n_devices': n_devices, 'n_messages': n}
        for n_devices in (100, 1_000, 10_000) for engine in ('plain simpy', 'simpy', 'compiled')]
    rows += [{'what': 'rich-star', 'engine': engine, 'n_devices': 10_000, 'n_messages': n}
             for engine in ('simpy', 'compiled')]
    if not quick:
        rows += [{'what': 'rich-star', 'engine': 'compiled', 'n_devices': 10 ** k, 'n_messages': 10 * max(10 ** k, n)}
                 for k in (3, 4, 5)]
        rows += [{'what': 'rich-star', 'engine': 'compiled', 'n_devices': 1_000_000, 'n_messages': 2_000_000}]
    rows += [{'what': 'ward', 'engine': engine} for engine in ('simpy', 'compiled')]
    rows += [{'what': 'teaching-hospital', 'engine': engine} for engine in ('simpy', 'compiled')]
    return rows


def in_process(case: dict[str, object]) -> dict[str, float]:
    """Measure one case in a process of its own."""
    done = subprocess.run([sys.executable, __file__, '--case', json.dumps(case)], capture_output=True, text=True,
                          check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def measure(what: str, engine: str, n_devices: int = 0, n_messages: int = 0, repetitions: int = 3) -> dict[str, float]:
    """Return messages, hops, seconds, build seconds and peak MiB of one case."""
    if engine == 'plain simpy':
        timed = [_timed(lambda: plain_simpy(n_devices, n_messages)) for _ in range(repetitions)]
        seconds, messages = min(timed)
        return {'messages': messages, 'hops': 3 * messages, 'seconds': seconds, 'build_s': 0.0, 'mib': _peak_mib()}
    from sim.loading import load
    from sim.lowering import lower
    from sim.running import run_model

    build_s, model = _timed(lambda: STARS[what](n_devices, n_messages) if what in STARS else lower(*load(what)))
    if engine == 'compiled':
        run_model(star(100, 10), engine='compiled', trace='none')  # compiles, or loads from the cache
    timed = [_timed(lambda: run_model(model, engine=engine, trace='none'))
             for _ in range(repetitions if engine == 'compiled' else 1)]
    seconds, recording = min(timed, key=lambda pair: pair[0])
    return {'messages': recording.n_launched, 'hops': recording.n_hops, 'seconds': seconds, 'build_s': build_s,
            'mib': _peak_mib()}


def _timed(function: 'object') -> 'tuple[float, object]':
    begin = time.perf_counter()
    result = function()
    return time.perf_counter() - begin, result


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == '__main__':
    main()
