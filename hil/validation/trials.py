"""The same scenarios on a testbed and in a model of it: calibrate, run in random order, simulate with the same seeds.

::

    probes/ ── fit ──► trials.json, profiles ──► simulated/<configuration>/seed-<n>, mistaken/<mistake>/...
    configurations, seeds; shuffled ───────────► hil/<configuration>/seed-<n>

Calibration and comparison share no run. A run on the testbed that is not valid is made again, a few times; all that
were made stay, and `analysis.validation` takes the valid ones. What is done is not done again after an interruption.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hil.inventory import Inventory
from hil.paced.running import execute, plan
from hil.validation.configurations import Configuration
from hil.validation.fitting import Fit, fit
from hil.validation.mistakes import MISTAKES, Mistake, scaled
from hil.validation.probing import Effort, Probe, probes
from hil.validation.testbed_profile import pooled, profile_of_testbed
from sim.errors import InputError
from sim.flows import ON_TESTBED
from sim.loading import load
from sim.profiles import load_profile
from sim.results.contents import write_run
from sim.results.folder import complete_file, complete_folder
from sim.running import execute_lowered, prepare, with_seed
from sim.scenario import Scenario

TRIALS = 'trials.json'
PROBES = 'probes'
SIMULATED, MISTAKEN = 'simulated', 'mistaken'
SERVER = 'server'  # whose profile is named like a node's
LINK_RATE = '100 Gbit/s'  # of the link between broker and workers: its rate is in what was measured
Told = Callable[[str], None]


@dataclass(frozen=True)
class Trials:
    """What is to be compared.

    Attributes
    ----------
    n_replicates
        Seeds of each configuration.
    n_repeats
        How often a run that is not valid is made again.
    """

    scenario: str
    overrides: tuple[str, ...]
    inventory: Inventory
    configurations: tuple[Configuration, ...]
    n_replicates: int
    effort: Effort
    seed: int = 1
    n_repeats: int = 2

    def loaded(self, configuration: Configuration, *more: str) -> Any:
        """Return a configuration's scenario and its origin."""
        return load(self.scenario, [*self.overrides, *configuration.overrides(), *more])

    def seeds(self) -> range:
        """Return the seeds of the replicates."""
        return range(self.seed, self.seed + self.n_replicates)


def check(trials: Trials) -> None:
    """Refuse what cannot be run or compared, before anything is measured.

    Raises
    ------
    InputError
        If a configuration cannot be lowered or bound, or no learning is in it.
    """
    for configuration in trials.configurations:
        scenario, origin = trials.loaded(configuration)
        if scenario.learning is None:
            raise InputError(f'{scenario.name}: has no learning, and validation compares it; add the key')
        plan(scenario, origin, trials.inventory)


def calibrate(trials: Trials, out: Path, told: Told) -> None:
    """Measure the testbed; write its profiles, and what was measured and is to be compared, to a folder.

    Raises
    ------
    BrokerError, RunError
        If the testbed does not start, or breaks.
    """
    suites = dict.fromkeys(str(trials.loaded(each)[0].crypto.suite) for each in trials.configurations)
    inventory = trials.inventory.model_copy(update={'padded': False})  # the broker is the same; workers must not wait
    fits: dict[str, dict[str, Fit]] = {node: {} for node in inventory.playing()}
    facts: dict[str, dict[str, Any]] = {}
    for node, by_suite in fits.items():
        for suite in suites:
            found = _probe(trials, inventory, node, suite, out / PROBES / node, told)
            by_suite[suite], facts[node] = fit(found), found[0].facts
    broker = pooled([each for by_suite in fits.values() for each in by_suite.values()])
    scenario, _ = trials.loaded(trials.configurations[0])
    like = min(node.profile for node in scenario.edge.nodes.values())
    at_server = next((node for node in fits if 'server' in inventory.nodes[node].places), next(iter(fits)))
    for name, profile, node in (*((profile_name(node), like, node) for node in fits),
                                (profile_name(SERVER), scenario.edge.server.profile, at_server)):
        (out / f'{name}.yaml').write_text(profile_of_testbed(
            name, load_profile(profile), fits[node], broker, facts[node], only_broker=trials.inventory.padded), 'utf-8')
    with complete_file(out / TRIALS) as file:
        file.write_text(json.dumps({
            **_described(trials), 'deliver_s': broker.deliver_s, 'link_s': broker.link_s,
            'acknowledge_s': broker.acknowledge_s,
            'spacing_s': {str(size): seconds for size, seconds in broker.spacing_s.items()}}, indent=1) + '\n', 'utf-8')


def _probe(trials: Trials, inventory: Inventory, node: str, suite: str, folder: Path, told: Told) -> list[Probe]:
    """Measure the crypto of one node, and leave each probe in a folder as soon as it is made."""
    found = []
    for probe in probes(inventory.with_crypto_on(node), suite, trials.effort, trials.seed,
                        lambda what: told(f'{node}: {what}')):
        found.append(probe)
        _keep(probe, folder / f'{suite}-{probe.model_bytes}-{probe.prefetch}')
    return found


def profile_name(node: str) -> str:
    """Return the name of a node's calibrated profile, and of its file without the suffix."""
    return f'testbed-{node}'


def _keep(probe: Probe, folder: Path) -> None:
    """Leave what a probe measured, for those who would fit it otherwise."""
    folder.mkdir(parents=True)
    probe.chains.write_parquet(folder / 'chains.parquet')
    probe.work.write_parquet(folder / 'work.parquet')


def check_resumable(trials: Trials, out: Path) -> None:
    """Refuse to go on with a folder in which something else is compared.

    Raises
    ------
    InputError
        If it is no validation's, or another one's.
    """
    try:
        found = json.loads((out / TRIALS).read_text('utf-8'))
    except (OSError, ValueError):
        raise InputError(f"--resume '{out}': found no calibrated validation there; leave --resume out") from None
    if {key: found.get(key) for key in _described(trials)} != _described(trials):
        raise InputError(f"--resume '{out}': holds a validation of another scenario, inventory or seed; name its own, "
                         'or another --out')


def _described(trials: Trials) -> dict[str, Any]:
    """Return what is compared, for those who read the folder."""
    return {'scenario': trials.scenario, 'overrides': list(trials.overrides), 'seeds': list(trials.seeds()),
            'is_padded': trials.inventory.padded,
            'mistakes': [{'name': each.name, 'title': each.title} for each in MISTAKES],
            'configurations': [{'name': each.name, 'settings': dict(each.settings), 'distributes': each.distributes}
                               for each in trials.configurations]}


def run_on_testbed(trials: Trials, out: Path, told: Told) -> None:
    """Run each configuration with each seed, in random order; with its first seed twice, for the noise floor.

    What is not valid is made again.
    """
    left = [(configuration, seed, '', 0) for configuration in trials.configurations for seed in trials.seeds()]
    left += [(configuration, trials.seed, '-twice', 0) for configuration in trials.configurations]
    random.Random(trials.seed).shuffle(left)
    n_all = len(left)
    while left:
        configuration, seed, suffix, attempt = left.pop(0)
        if attempt == 0 and (out / 'hil' / configuration.name / f'seed-{seed}{suffix}').is_dir():
            continue  # done before an interruption
        told(f'{configuration.name}, seed {seed}: {n_all - len(left)} of {n_all} runs on the testbed')
        scenario, origin = trials.loaded(configuration)
        execution = execute(plan(with_seed(scenario, seed), origin, trials.inventory))
        assert execution.hardware is not None
        again = f'-again-{attempt}' if attempt else ''
        with complete_folder(out / 'hil' / configuration.name / f'seed-{seed}{suffix}{again}') as folder:
            write_run(folder, execution)
        if execution.hardware.invalid_because:
            told(f'not valid: {execution.hardware.invalid_because[0]}')
            if attempt < trials.n_repeats:
                left.append((configuration, seed, suffix, attempt + 1))
                n_all += 1


def simulate(trials: Trials, out: Path, mistake: Mistake | None = None) -> None:
    """Run the model of the testbed with each configuration and seed: as it was calibrated, or with a mistake."""
    measured = json.loads((out / TRIALS).read_text('utf-8'))
    settings = [
        'broker.cores=1', 'broker.order=in-turn', f'broker.deliver={measured["deliver_s"]!r} s',  # as `fit` says
        f'broker.acknowledge={measured["acknowledge_s"]!r} s', f'wiring.node.rate={LINK_RATE}',
        f'wiring.node.latency={measured["link_s"] / 2!r} s',  # of each of the two cables between broker and worker
        f'edge.server.profile={(out / profile_name(SERVER)).absolute()}.yaml']
    folder = out / SIMULATED
    if mistake is not None:
        folder = out / MISTAKEN / mistake.name
        settings += [f'{key}={value}' for key, value in mistake.settings.items()]
    for configuration in trials.configurations:
        scenario, _ = trials.loaded(configuration)
        nodes = [f'edge.nodes.{name}.profile={path}' for name, path in _profiles(trials, scenario, out, mistake)]
        for seed in trials.seeds():
            run = folder / configuration.name / f'seed-{seed}'
            if run.is_dir():
                continue  # done before an interruption
            scenario, origin = trials.loaded(configuration, *settings, *nodes)
            lowered = prepare(with_seed(scenario, seed), origin, table=ON_TESTBED)
            with complete_folder(run) as unfinished:
                write_run(unfinished, execute_lowered(lowered, trace='stages'))


def _profiles(trials: Trials, scenario: Scenario, out: Path, mistake: Mistake | None) -> Iterator[tuple[str, str]]:
    """Yield each node of the model whose profile is another one than the scenario's, and that profile."""
    factors, playing = mistake.factors if mistake is not None else {}, trials.inventory.playing()
    for i, (name, node) in enumerate(scenario.edge.nodes.items()):
        calibrated = out / f'{profile_name(playing[i % len(playing)])}.yaml'  # in their order, as `Inventory.following`
        profile = node.profile if trials.inventory.padded else str(calibrated.absolute())
        if factors:
            assert mistake is not None
            wrong = out / MISTAKEN / mistake.name / f'{Path(profile).stem}.yaml'
            if not wrong.exists():  # for the first of all that have it
                wrong.parent.mkdir(parents=True, exist_ok=True)
                with complete_file(wrong) as file:
                    file.write_text(scaled(load_profile(profile).contents.decode(), factors), 'utf-8')
            profile = str(wrong.absolute())
        if profile != node.profile:
            yield name, profile
