"""A profile on the terminal: its numbers by stage, and the sources that they share as numbered notes."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.formats import seconds
from analysis.tables import empty_table

Number = Mapping[str, str]  # a row of `sim.profiles.table`
DEVICE = 'device'  # what the numbers that belong to no stage are of


def profile_table(title: str, implementation: str, rows: Sequence[Number],
                  calibration: Mapping[str, str]) -> RenderableType:
    """Return the numbers of a profile, each with its quality and a note on its source, and how it was calibrated."""
    notes = _Notes()
    table = empty_table(title, ('number', 'value', 'quality', 'note'), n_left=4)
    for stage, numbers in groupby(rows, key=lambda row: row['stage']):
        table.add_row(Text(stage or DEVICE, style='bold'))
        for first, *rest in _alike(numbers):
            table.add_row(Text(f'  {_name(first)}'), Text('\n'.join(map(_value, (first, *rest)))),
                          Text(first['quality']), Text(f'[{notes.number(first)}]'))
    record = [Text(f'Calibration, {what}: {text}') for what, text in calibration.items()]
    return Group(table, '', Text(f'Implementation: {implementation}'), *record, '', notes.listed())


class _Notes:
    """Sources and, under each, what was calculated from it. Invariant: no source and no formula has two numbers."""

    def __init__(self) -> None:
        self._sources: dict[str, dict[str, str]] = {}

    def number(self, row: Number) -> str:
        """Return the number of the note on a row, such as 3 or 3.1."""
        formulas = self._sources.setdefault(row['source'], {})
        source = f'{list(self._sources).index(row["source"]) + 1}'
        return formulas.setdefault(row['formula'], f'{source}.{len(formulas) + 1}') if row['formula'] else source

    def listed(self) -> Table:
        """Return all notes with their numbers."""
        grid = Table.grid(padding=(0, 1, 0, 0))
        for number, (source, formulas) in enumerate(self._sources.items(), start=1):
            grid.add_row(f'{number}', Text(source))
            for formula, label in formulas.items():
                grid.add_row(label, Text(formula))
        return grid


def _alike(rows: Iterable[Number]) -> list[list[Number]]:
    """Return the rows of a stage, those of one curve together."""
    return [list(group) for _, group in groupby(rows, key=lambda row: (
        _name(row), row['variant'], row['quality'], row['source'], row['formula']))]


def _name(row: Number) -> str:
    """Return what a number is of: the points of a curve are of one, and noise is of what stands before it."""
    if row['what'].startswith('noise '):
        return '  noise'
    return row['variant'] if row['what'].startswith('cost ') else row['what']


def _value(row: Number) -> str:
    """Return a value as it was measured, and cycles as a time too."""
    cycles = f' = {seconds(float(row["seconds"]))}' if row['value'].endswith('cycles') else ''
    what = row['what'].removeprefix('cost ').removeprefix('noise ')
    if what.startswith('at '):  # a point of a curve
        return f'{what.removeprefix("at ")}: {row["value"]}{cycles}'
    return f'{what} {row["value"]}' if row['what'].startswith('noise ') else f'{row["value"]}{cycles}'
