"""What a calibration tells whoever ran it: what each operation takes, and where the profile is not to be relied on."""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite

from hil.calibration.measurement import Measurement
from hil.calibration.profile_file import spell_time
from hil.calibration.spread import AGREEMENT, p95
from sim.suites import SUITES, variant

SHOWN_BYTES = 65_536  # sizes up to it are timed often enough to say something of their p95

Row = dict[str, str]


def operation_rows(measured: Sequence[Measurement]) -> list[Row]:
    """Return one row an operation, at one size: median, 95th percentile with its 95 % interval, and number of calls."""
    rows = []
    for each in measured:
        point = [point for point in each.kept if each.operation.unit != 'byte' or point.amount <= SHOWN_BYTES][-1]
        at, low, high = p95(point.durations)
        unit = '' if each.operation.unit == 'op' else f'{point.amount:,} {each.operation.unit}s'
        rows.append({'operation': each.operation.name, 'of': unit, 'median': spell_time(point.median_s),
                     'p95': spell_time(at), 'its 95 % interval': f'{spell_time(low)} to {_bound(high)}',
                     'n': f'{len(point.durations):,}', 'by': each.operation.done_by})
    return rows


def _bound(seconds: float) -> str:
    return spell_time(seconds) if isfinite(seconds) else 'unknown'


def held_out_rows(measured: Sequence[Measurement], missing: Mapping[str, str]) -> list[Row]:
    """Return one row a suite, and one for averaging: how far predictions at sizes held out are off."""
    by_name = {each.operation.name: each for each in measured}
    rows = []
    for name, suite in SUITES.items():
        cipher = variant(suite.aead, suite.implementation)
        lacking = [part for part in (suite.kem, cipher, suite.signature) if part in missing]
        if lacking:
            rows.append(_row(name, cipher, 'not measured', f'{", ".join(lacking)} cannot be timed here'))
        else:
            rows.append(_errors(name, cipher, [by_name[f'{stage} {cipher}'] for stage in ('aead.seal', 'aead.open')]))
    return [*rows, _errors('every suite', 'fl.aggregate', [by_name['fl.aggregate any']])]


def _errors(suite: str, of: str, measured: Iterable[Measurement]) -> Row:
    """Return what predictions are worth."""
    errors = [(error, f'{each.operation.stage} of {size:,} B') for each in measured for size, error in each.errors()]
    beyond = sorted((each for each in errors if abs(each[0]) > AGREEMENT), key=lambda each: -abs(each[0]))
    told = '; '.join(f'{error:+.1%} at {where}' for error, where in beyond)
    worst = max((abs(error) for error, _ in errors), default=0.0)
    return _row(suite, of, f'{len(errors) - len(beyond)} of {len(errors)}',
                f'beyond it: {told}' if beyond else f'the largest error is {worst:.1%}')


def _row(suite: str, of: str, within: str, told: str) -> Row:
    return {'suite': suite, 'of': of, f'sizes within {AGREEMENT:.0%}': within, 'where not': told}


def lines(measured: Sequence[Measurement], missing: Mapping[str, str], warnings: Sequence[str]) -> list[str]:
    """Return what is said below the tables."""
    return [held_out(measured), repeated(measured), disturbed(measured),
            *(f'left out {name}: {why}' for name, why in missing.items()),
            *(f'Warning: {warning}.' for warning in warnings)]


def held_out(measured: Sequence[Measurement]) -> str:
    """Return how many predictions at sizes held out are close enough, and which is the worst."""
    return _shares([(error, f'{each.operation.name} of {size:,} bytes') for each in measured
                    for size, error in each.errors()], 'sizes held out are predicted')


def repeated(measured: Sequence[Measurement]) -> str:
    """Return how many medians two passes agree in, and in which the least."""
    return _shares([(point.difference, each.operation.name + (
        f' of {point.amount:,} bytes' if each.operation.unit == 'byte' else ''))
        for each in measured for point in each.points], 'medians are the same in two passes')


def disturbed(measured: Sequence[Measurement]) -> str:
    """Return how often others had the core in the middle of a call."""
    n_lost, n = sum(each.n_lost for each in measured), sum(each.n_calls for each in measured)
    return f'{n_lost:,} of {n:,} calls lost the core to other programs meanwhile: their CPU time counts'


def _shares(differences: Sequence[tuple[float, str]], of_what: str) -> str:
    """Return how many differences are small enough, and the largest."""
    n_within = sum(abs(difference) <= AGREEMENT for difference, _ in differences)
    largest, where = max(differences, key=lambda each: abs(each[0]))
    return (f'{n_within} of {len(differences)} {of_what} within {AGREEMENT:.0%}; the largest difference: {where}, '
            f'{largest:+.1%}')
