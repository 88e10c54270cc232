"""What things are called and what they mean, said once: for the terminal, the pages and the figures."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from analysis.formats import NONE, count, spell
from sim.values import Delay, TimeOfDay

Row = dict[str, Any]  # a row of summary.json
Tree = Mapping[str, Any]  # a scenario as it stands in its file

DEADLINE_MISSED = 'expired (completed after its deadline) or not delivered at all, of those that have a deadline'
MESSAGE_BYTES = ('payloads with what cryptography, AMQP and TLS add to them, once a job: without TCP/IP, frames of '
                 'links, and repeats')
METRICS = {  # where a name is not the metric's own
    'deadline_miss_ratio': 'deadline missed', 'crypto_latency_share': 'crypto time', 'wire_bytes': 'message bytes',
    'crypto_wire_share': 'crypto bytes', 'crypto_energy_share': 'crypto energy', 'battery_days': 'battery',
    'clients_reached_ratio': 'clients reached', 'kem_time': 'KEM time', 'aead_time': 'AEAD time',
    'sig_time': 'signature time', 'rekeys_done': 'new keys', 'rekey_time': 'time to a new key',
    'group_rekey_time': 'time to a new group key',
}
STATISTICS = {'mean': '', 'p50': 'median', 'p95': 'p95', 'p99': 'p99'}
OUTCOMES = {
    'delivered': '', 'expired': 'completed after its deadline', 'dropped': 'refused by a full queue',
    'rejected': 'failed a check', 'lost': 'on a link', 'unfinished': 'still under way when the run ended',
}
FAILED = ('dropped', 'rejected', 'lost', 'unfinished')
BEYOND_MIN = 20  # jobs that must lie above a percentile before it says more than which job was the slowest
THIN = '†'
DAY_S = 86_400.0


def metric_name(metric: str, statistic: str = 'mean') -> str:
    """Return what people call a metric."""
    return f'{METRICS.get(metric, metric.replace("_", " "))} {STATISTICS[statistic]}'.rstrip()


def subject(row: Mapping[str, Any]) -> str:
    """Return what a row of a summary is of: a flow, a class in it, a class, or a station."""
    return ' of '.join(filter(None, (row['flow'], row['class'], row['station'])))


def jobs_for(statistic: str) -> int:
    """Return how many jobs a percentile takes, such as 'p99'."""
    return math.ceil(BEYOND_MIN / (1 - int(statistic[1:]) / 100) - 1e-9)


def is_thin(statistic: str, n: float) -> bool:
    """Return whether a percentile far out is of too few jobs of a run."""
    return statistic in ('p95', 'p99') and 0 < n < jobs_for(statistic)


THIN_NOTE = (f'{THIN}: of too few jobs; fewer than {BEYOND_MIN} lie above it (a p95 takes {jobs_for("p95")} jobs, a '
             f'p99 {jobs_for("p99"):,})')


def seconds(text: str) -> float:
    """Return the seconds of a time in a scenario."""
    value: float = TypeAdapter(Delay).validate_python(text)
    return value


def measured_s(scenario: Tree) -> float:
    """Return how long the integrals of the tables ran: from the end of the warm-up to the end of the run."""
    return seconds(scenario['duration']) - seconds(scenario['warm_up'])


def measured(scenario: Tree) -> str:
    """Return what was measured of a run, by the clock of the hospital."""
    start_s: float = TypeAdapter(TimeOfDay).validate_python(scenario['starts_at'])
    warm_up_s = seconds(scenario['warm_up'])
    before = f', after a warm-up of {spell(warm_up_s, "s")}' if warm_up_s else ''
    return (f'{spell(measured_s(scenario), "s")} from {_clock(start_s + warm_up_s)} to '
            f'{_clock(start_s + seconds(scenario["duration"]))}{before}')


def _clock(at_s: float) -> str:
    """Write a time of day, with its seconds if there are any, and its day if that is not the first."""
    days, of_day_s = divmod(round(at_s, 3), DAY_S)
    minutes, rest_s = divmod(of_day_s, 60.0)
    text = f'{int(minutes) // 60:02d}:{int(minutes) % 60:02d}'
    text += f':{rest_s:06.3f}'.rstrip('0').rstrip('.') if rest_s >= 0.001 else ''
    return text + (f' of day {int(days) + 1:,}' if days else '')


def world_said(manifest: Mapping[str, Any]) -> str:
    """Return in what world the numbers of a run came about: simulated, or measured, and on what."""
    facts = manifest.get('hardware')
    if manifest.get('world') != 'hil' or facts is None:
        return 'simulated'
    return f'measured, {facts["testbed"]}{", padded" if facts["is_padded"] else ""}'


def security_said(security: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return what a manifest says that cryptography claims, in words; nothing of one that says nothing."""
    if security is None:
        return []
    interpreted = '' if security['implementation'] == 'native' else ' interpreted'
    primitives = f'{security["kem"]}, {security["aead"]}{interpreted}, {security["signature"]}'
    return [('Suite', f'{security["suite"] or "none of the shipped ones"} ({primitives})'),
            ('Keys', _category(security['key_category'], security['kem'])),
            ('Signatures', _category(security['signature_category'], security['signature'])),
            ('Forward secrecy', security['forward_secrecy'])]


def primitives_used(security: Mapping[str, Any]) -> list[str]:
    """Return the primitives that are in some flow, as a manifest says: one without a category is in none."""
    claimed = (('kem', 'key_category'), ('signature', 'signature_category'))
    return [security['aead'], *(security[part] for part, category in claimed if security[category] is not None)]


def _category(category: int | None, name: str) -> str:
    if category is None:
        return f'{name} is not used'
    return f'NIST category {category}' if category else f'no category, a quantum computer breaks {name}'


def of_several(n_runs: int) -> str:
    """Return what the numbers of several runs are."""
    return (f'All numbers are means of {n_runs} runs, percentiles too: the mean of what each run found. ±: the 95 % '
            'interval of that mean (pp: percentage points). The most waiting is the most in any of them; rounds are '
            'those of all runs together.')


def rounds_said(summary: Sequence[Row]) -> str:
    """Return how many rounds of learning there were to be and what became of them, all runs of a summary together."""

    def total(metric: str, key: str = 'mean') -> int:
        return int(sum(row[key] for row in summary if row['metric'] == metric))

    of_measured, begun = total('rounds_complete', 'n'), total('rounds_begun')
    said = f'{begun} of {total("rounds_begun", "n")} planned rounds were begun'
    said += f', {of_measured} of them after the warm-up' if of_measured < begun else ''
    said += f', {total("rounds_complete")} completed'
    for metric, words in (('rounds_failed', 'failed'), ('rounds_without_quorum', 'without quorum')):
        said += f', {total(metric)} {words}' if total(metric) else ''
    return said


def failures(counts: Mapping[str, float | None]) -> list[str]:
    """Return how jobs failed, one line a kind; '0' if none did, a dash if nobody knows."""
    if all(counts[name] is None for name in FAILED):
        return [NONE]
    return [f'{count(counts[name])} {name}' for name in FAILED if counts[name]] or ['0']
