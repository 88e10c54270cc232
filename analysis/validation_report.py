"""A validation as people read it: tables for the terminal, and a page of Markdown with its figures."""

from collections.abc import Sequence
from pathlib import Path

from analysis import validation_figures
from analysis.formats import seconds, share
from analysis.sheets import Cell, Sheet
from analysis.statistics import Interval
from analysis.validation import Catch, Effect, Error, Ranking, Validation

FIGURES = {'distributions': 'Latency of each flow in each configuration, measured and predicted.',
           'errors': 'Predicted less measured, as a share of what was measured.',
           'effects': 'What distributing the cryptography changes, predicted against measured.'}

BROKER = ('deliver', 'cable', 'acknowledge')
OTHERS_MAX = 0.1  # of the processors' time, to other processes; chosen


def sheets(found: Validation) -> list[Sheet]:
    """Return the tables of a validation: errors, effects, ranking, and what wrong models are off by."""
    bounded = [each for each in found.errors if each.allowed is not None]
    n_within = sum(each.is_within is True for each in bounded)
    return [
        Sheet(f'Predicted less measured ({_marked(found)})', (
            'configuration', 'of', 'statistic', 'measured', 'predicted', 'difference', '95 % interval', 'floor',
            'allowed', ''), [_error(each) for each in found.errors], n_left=3,
            note=f'{n_within} of {len(bounded)} within what is allowed; the unit is the run, pairs by seed; floor: '
                 'what two runs on the testbed with one seed differ by'),
        Sheet('What distributing the cryptography changes', (
            'configuration', 'of', 'statistic', 'measured', 'its 95 % interval', 'predicted', 'its 95 % interval'),
            [_effect(each) for each in found.effects], n_left=3,
            note='the cryptography on all nodes, less all of it on one'),
        Sheet('Order of the configurations', ('by', 'pairs that separate', 'ordered right', "Kendall's tau"),
              [_rank(each) for each in found.rankings],
              note='pairs of configurations whose measured intervals do not overlap'),
        Sheet('Models made wrong on purpose', (
            'what is wrong', 'shows most in', 'statistic', 'measured', 'predicted', 'difference', '95 % interval',
            'the right\nmodel', 'beyond', 'the right\nmodel'), [_catch(each) for each in found.catches], n_left=3,
            note='the same runs against models with a known mistake, and the difference of the right one; beyond: how '
                 'many figures are off by more than is allowed, with an interval that excludes zero'),
    ]


def doubt(found: Validation) -> str:
    """Return why nothing here may be believed, in a line; empty if nothing speaks against it."""
    if found.others <= OTHERS_MAX:
        return ''
    return (f'Other processes took up to {share(found.others)} of the processor time while the testbed was measured, '
            'so this says little of the model: let nothing else run, and do it again')


def write(found: Validation, folder: Path, command: str) -> None:
    """Write validation.md and its figures as SVG."""
    figures = {'distributions': validation_figures.distributions(found),
               'errors': validation_figures.errors(found.errors)}
    if found.effects:
        figures['effects'] = validation_figures.effects(found.effects)
    for name, figure in figures.items():
        figure.savefig(folder / f'{name}.svg', metadata={'Date': None}, facecolor='white')
    (folder / 'validation.md').write_text('\n'.join(_page(found, command, [*figures])), 'utf-8')


def _page(found: Validation, command: str, figures: Sequence[str]) -> list[str]:
    facts = found.facts
    workers, trials = facts['workers'][0], found.trials
    version, machine = f'iomtwin {workers["version"]}', f'{workers["machine"]}, {workers["cores"]} cores'
    counts = [f'{name} {n}, {found.n_invalid[name]}' for name, n in found.n_valid.items()]
    waits = [f'{key} {seconds(trials[f"{key}_s"])}' for key in BROKER]
    lines = ['# How far off the model is', '',
             f'{_marked(found).capitalize()}, never a Raspberry Pi: *not run on a Pi yet*.', '',
             f'- {", ".join((found.date, facts["broker"], facts["kem_provider"], version, machine))}',
             f'- seeds {", ".join(map(str, trials["seeds"]))} of scenario `{trials["scenario"]}`',
             f'- made by `{command}`',
             f'- broker: {", ".join(waits)}',
             f'- runs on the testbed that are valid, and that are not: {"; ".join(counts)}',
             f'- other processes took at most {share(found.others)} of the processor time during a run or a probe', '']
    if doubt(found):
        lines += [f'**{doubt(found)}.**', '']
    for sheet in sheets(found):
        if sheet.rows:
            head = [each.replace('\n', ' ') for each in sheet.headers]
            lines += [f'## {sheet.title}', '', f'| {" | ".join(head)} |',
                      f'|{"|".join("---" if i < sheet.n_left else "---:" for i in range(len(head)))}|',
                      *(f'| {" | ".join(cell.text for cell in row)} |' for row in sheet.rows), '', f'{sheet.note}.', '']
    for name in figures:
        lines += [f'![{FIGURES[name]}]({name}.svg)', '']
    return lines


def _marked(found: Validation) -> str:
    padded = ', padded to the times of the profiles' if found.trials['is_padded'] else ''
    return f'{found.facts["testbed"]}{padded}'


def _error(each: Error) -> Sequence[Cell]:
    verdict = '' if each.is_within is None else 'within' if each.is_within else 'more'
    return (Cell(each.configuration), Cell(f'{each.of} {each.what}'), Cell(each.statistic),
            _time(each.measured), _time(each.predicted), _time(each.difference.mean), _interval(each.difference),
            _time(each.floor), Cell('') if each.allowed is None else _time(each.allowed),
            Cell(verdict, mark='bad' if verdict == 'more' else ''))


def _effect(each: Effect) -> Sequence[Cell]:
    return (Cell(f'{each.configuration} less {each.base}'), Cell(f'{each.of} {each.what}'), Cell(each.statistic),
            _time(each.measured.mean), _interval(each.measured), _time(each.predicted.mean), _interval(each.predicted))


def _catch(each: Catch) -> Sequence[Cell]:
    wrong = each.wrong
    return (Cell(each.title), Cell(f'{wrong.configuration}: {wrong.of} {wrong.what}'), Cell(wrong.statistic),
            _time(wrong.measured), _time(wrong.predicted), _time(wrong.difference.mean), _interval(wrong.difference),
            _time(each.right.difference.mean), Cell(f'{each.n_beyond}', each.n_beyond),
            Cell(f'{each.n_beyond_right}', each.n_beyond_right))


def _rank(each: Ranking) -> Sequence[Cell]:
    return (Cell(f'{each.of} {each.what} {each.statistic}'), Cell(f'{each.n_pairs}', each.n_pairs),
            Cell(f'{each.n_right}', each.n_right), Cell('' if each.tau is None else f'{each.tau:.2f}', each.tau))


def _time(value: float) -> Cell:
    return Cell(seconds(value), value, 's')


def _interval(interval: Interval) -> Cell:
    if interval.low is None or interval.high is None:
        return Cell('')
    return Cell(f'{seconds(interval.low)} to {seconds(interval.high)}')
