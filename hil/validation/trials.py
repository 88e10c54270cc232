"""The same scenarios on a testbed and in a model of it: measure in random order, calibrate, simulate the same seeds.

::

    measured, shuffled:  configurations, seeds ──► hil/<configuration>/seed-<n>
                         probes ─────────────────► probes/<node>/... ── fit ──► testbed.json, profiles
    with these, the same configurations, seeds ──► simulated/<configuration>/seed-<n>, mistaken/<mistake>/...

Calibration and comparison share no run, but they share the hour: a machine whose speed drifts does so in both. What is
not valid is made again, a few times; all that were made stay, and `analysis.validation` takes the valid runs. What is
done is not done again after an interruption.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hil.inventory import Inventory
from hil.paced.running import execute, plan
from hil.validation import configurations, probing
from hil.validation.configurations import Configuration
from hil.validation.fitting import fit
from hil.validation.mistakes import MISTAKES, Mistake, scaled
from hil.validation.probing import Effort, Probe, probe
from hil.validation.testbed_profile import pooled, profile_of_testbed
from sim.errors import InputError
from sim.flows import ON_TESTBED
from sim.loading import load
from sim.origin import Origin
from sim.profiles import load_profile
from sim.results.contents import write_run
from sim.results.folder import Run, complete_file, complete_folder
from sim.running import execute_lowered, prepare, with_seed
from sim.scenario import Scenario

TRIALS, TESTBED = 'trials.json', 'testbed.json'
PROBES = 'probes'
SIMULATED, MISTAKEN = 'simulated', 'mistaken'
SERVER = 'server-of-testbed'  # its profile; a node may be called `server`
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
        How often a run or probe that is not valid is made again.
    """

    scenario: str
    overrides: tuple[str, ...]
    inventory: Inventory
    configurations: tuple[Configuration, ...]
    n_replicates: int
    effort: Effort
    seed: int = 1
    n_repeats: int = 2

    def loaded(self, configuration: Configuration, *more: str) -> tuple[Scenario, Origin]:
        """Return a configuration's scenario and its origin."""
        return load(self.scenario, [*self.overrides, *configuration.overrides(), *more])

    def suites(self) -> list[str]:
        """Return each suite that is compared, once."""
        return list(dict.fromkeys(str(self.loaded(each)[0].crypto.suite) for each in self.configurations))

    def seeds(self) -> range:
        """Return the seeds of the replicates."""
        return range(self.seed, self.seed + self.n_replicates)


def planned(scenario: str, overrides: tuple[str, ...], inventory: Inventory, *, quick: bool, seed: int = 1,
            n_replicates: int | None = None) -> Trials:
    """Return what is to be compared; quick: two configurations of 12 s, calibrated briefly, nothing made again."""
    if quick:
        return Trials(scenario, ('duration=12 s', *overrides), inventory, configurations.QUICK, n_replicates or 2,
                      probing.QUICK, seed, n_repeats=0)
    return Trials(scenario, overrides, inventory, configurations.FULL, n_replicates or 3, probing.FULL, seed)


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


def begin(trials: Trials, out: Path) -> None:
    """Make the folder of a validation, and say in it what is compared."""
    with complete_folder(out) as folder:
        (folder / TRIALS).write_text(json.dumps(_described(trials), indent=1) + '\n', 'utf-8')


def calibrate(trials: Trials, out: Path) -> None:
    """Write what the probes say of the testbed to the folder: a profile of each node, and the broker's own times.

    Raises
    ------
    RunError
        If they say too little, or contradict each other.
    """
    suites = trials.suites()
    probes = {node: {suite: [_Probing(trials, node, suite, i).read(out) for i in range(len(trials.effort.runs))]
                     for suite in suites} for node in trials.inventory.playing()}
    fits = {node: {suite: fit(found) for suite, found in by_suite.items()} for node, by_suite in probes.items()}
    facts = {node: by_suite[suites[0]][0].facts for node, by_suite in probes.items()}
    broker = pooled([each for by_suite in fits.values() for each in by_suite.values()])
    scenario, _ = trials.loaded(trials.configurations[0])
    like = min(node.profile for node in scenario.edge.nodes.values())
    at_server = next((node for node in fits if 'server' in trials.inventory.nodes[node].places), next(iter(fits)))
    for name, profile, node in (*((profile_name(node), like, node) for node in fits),
                                (SERVER, scenario.edge.server.profile, at_server)):
        with complete_file(out / f'{name}.yaml') as file:
            file.write_text(profile_of_testbed(name, load_profile(profile), fits[node], broker, facts[node],
                                               only_broker=trials.inventory.padded), 'utf-8')
    with complete_file(out / TESTBED) as file:
        file.write_text(json.dumps({
            'deliver_s': broker.deliver_s, 'cable_s': broker.cable_s, 'acknowledge_s': broker.acknowledge_s,
            'spacing_s': {str(size): seconds for size, seconds in broker.spacing_s.items()}}, indent=1) + '\n', 'utf-8')


def profile_name(node: str) -> str:
    """Return the name of a node's calibrated profile, and of its file without the suffix."""
    return f'testbed-{node}'


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
        raise InputError(f"--resume '{out}': found no validation there; leave --resume out") from None
    if found != _described(trials):
        raise InputError(f"--resume '{out}': holds a validation of another scenario, inventory or seed; name its own, "
                         'or another --out')


def _described(trials: Trials) -> dict[str, Any]:
    """Return what is compared, for those who read the folder."""
    return {'scenario': trials.scenario, 'overrides': list(trials.overrides), 'seeds': list(trials.seeds()),
            'is_padded': trials.inventory.padded,
            'mistakes': [{'name': each.name, 'title': each.title} for each in MISTAKES],
            'configurations': [{'name': each.name, 'settings': dict(each.settings), 'distributes': each.distributes}
                               for each in trials.configurations]}


def measure(trials: Trials, out: Path, told: Told) -> None:
    """Run all probes, and each configuration with each seed, in random order; with its first seed twice.

    Two runs with one seed tell the noise floor. What is not valid is made again.

    Raises
    ------
    BrokerError, RunError
        If the testbed does not start, or breaks.
    """
    suites = trials.suites()
    left: list[_Probing | _Running] = [
        _Probing(trials, node, suite, i) for node in trials.inventory.playing() for suite in suites
        for i in range(len(trials.effort.runs))]
    left += [_Running(trials, configuration, seed) for configuration in trials.configurations
             for seed in trials.seeds()]
    left += [_Running(trials, configuration, trials.seed, '-twice') for configuration in trials.configurations]
    random.Random(trials.seed).shuffle(left)
    n_all = len(left)
    while left:
        now = left.pop(0)
        if is_new := not (out / now.folder()).is_dir():  # or it was done before an interruption
            told(f'{now.title()}: {n_all - len(left)} of {n_all} on the testbed')
            with complete_folder(out / now.folder()) as folder:
                now.make(folder)
        if invalid_because := now.invalid_because(out):
            if is_new:
                told(f'not valid: {invalid_because[0]}')
            if now.attempt < trials.n_repeats:
                left.append(replace(now, attempt=now.attempt + 1))
                n_all += 1


@dataclass(frozen=True)
class _Probing:
    """One probe of the crypto of a node, for a suite."""

    trials: Trials
    node: str
    suite: str
    i: int
    attempt: int = 0

    def folder(self) -> Path:
        return Path(PROBES, self.node, self.suite, f'run-{self.i + 1:02}{_again(self.attempt)}')

    def title(self) -> str:
        return f'{self.node}, {self.suite}, probe {self.i + 1}'

    def make(self, folder: Path) -> None:
        inventory = self.trials.inventory.model_copy(update={'padded': False})  # or workers would wait
        probe(inventory.with_crypto_on(self.node), self.suite, self.trials.effort, self.i, self.trials.seed).write(
            folder)

    def invalid_because(self, out: Path) -> Sequence[str]:
        return Probe.read(out / self.folder()).invalid_because()

    def read(self, out: Path) -> Probe:
        """Return what was measured; of several attempts, where the host took the least."""
        attempts = (replace(self, attempt=k).folder() for k in range(self.trials.n_repeats + 1))
        return min((Probe.read(out / folder) for folder in attempts if (out / folder).is_dir()),
                   key=lambda found: found.facts['steal'])


@dataclass(frozen=True)
class _Running:
    """A run of one configuration."""

    trials: Trials
    configuration: Configuration
    seed: int
    suffix: str = ''
    attempt: int = 0

    def folder(self) -> Path:
        return Path('hil', self.configuration.name, f'seed-{self.seed}{self.suffix}{_again(self.attempt)}')

    def title(self) -> str:
        return f'{self.configuration.name}, seed {self.seed}'

    def make(self, folder: Path) -> None:
        scenario, origin = self.trials.loaded(self.configuration)
        write_run(folder, execute(plan(with_seed(scenario, self.seed), origin, self.trials.inventory)))

    def invalid_because(self, out: Path) -> Sequence[str]:
        return Run(out / self.folder()).reasons()


def _again(attempt: int) -> str:
    return f'-again-{attempt}' if attempt else ''


def simulate(trials: Trials, out: Path, mistake: Mistake | None = None) -> None:
    """Run the model of the testbed with each configuration and seed: as it was calibrated, or with a mistake."""
    measured = json.loads((out / TESTBED).read_text('utf-8'))
    settings = [*settings_of_testbed(measured),
                f'edge.server.profile={(out / SERVER).absolute()}.yaml']
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


def settings_of_testbed(measured: Mapping[str, float]) -> list[str]:
    """Return what a scenario must say to be one of a testbed, but for its profiles; see `fitting.Fit`."""
    return ['broker.cores=1', 'broker.order=in-turn', f'broker.deliver={measured["deliver_s"]!r} s',
            f'broker.acknowledge={measured["acknowledge_s"]!r} s', f'wiring.node.rate={LINK_RATE}',
            f'wiring.node.latency={measured["cable_s"]!r} s']


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
