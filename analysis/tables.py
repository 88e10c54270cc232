"""Sheets on the terminal.

They fit 80 columns for names of usual length; what is wider is folded, never cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from analysis.formats import share
from analysis.replications import summarise
from analysis.sheets import (
    Rows,
    Sheet,
    cause_sheet,
    cell,
    crypto_sheet,
    deadline_sheet,
    device_sheet,
    flow_sheet,
    key_sheet,
    mean,
    rows_of,
    station_sheet,
)
from analysis.words import measured, of_several, rounds_said, security_said
from sim.results.folder import Run

WARNINGS_SHOWN = 8
STATIONS_SHOWN = 3
COLUMNS_MAX = 10_000  # no table is as wide


def run_tables(runs: Sequence[Run]) -> RenderableType:
    """Return everything that `iomtwin run` prints: of one run, or means over several with their intervals."""
    rows = rows_of(runs[0].summary if len(runs) == 1 else summarise(runs))
    late = deadline_sheet(rows, only_missed=True)
    sheets = (flow_sheet(rows), late, crypto_sheet(rows), cause_sheet(rows), key_sheet(rows), device_sheet(rows),
              station_sheet(runs, STATIONS_SHOWN))
    parts: list[RenderableType] = [Text(f'Measured: {measured(runs[0].scenario)}'), '']
    parts += [*(part for sheet in sheets if sheet.rows for part in (Fitting(sheet), '')), security_line(runs[0])]
    if ('rounds_begun', None, None) in rows:
        parts.append(_rounds(rows, runs))
    if len(runs) > 1:
        parts.append(Text(of_several(len(runs))))
    parts += warning_lines(runs)
    return Group(*parts)


def security_line(run: Run, name: str = '') -> Text:
    """Return what the cryptography of a run is and claims, in a line."""
    said = '; '.join(f'{what}: {words}' for what, words in security_said(run.manifest.get('security')))
    return Text(f'{name}: {said}' if name else said)


def warning_lines(runs: Sequence[Run], name: str = '') -> list[Text]:
    """Return what the manifests warn of, with the seed if there are several."""
    told = [(run, warning) for run in runs for warning in run.manifest.get('warnings', ())]
    of_run = ', seed {}' if len(runs) > 1 else ''
    of = f'{name}: ' if name else ''
    lines = [Text(f'{of}Warning{of_run.format(run.manifest["seed"])}: {warning}.', style='bold red')
             for run, warning in told[:WARNINGS_SHOWN]]
    if len(told) > WARNINGS_SHOWN:
        lines.append(Text(f'and {len(told) - WARNINGS_SHOWN} more warnings, see the manifests'))
    return lines


@dataclass(frozen=True)
class Fitting:
    """A sheet on a console: two spaces between its columns, or one where they would not fit; cells are never cut."""

    sheet: Sheet

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the table."""
        wide = self.table(n_spaces=2)
        n_columns = wide.__rich_measure__(console, options.update_width(COLUMNS_MAX)).maximum
        yield wide if n_columns <= options.max_width else self.table(n_spaces=1)

    def table(self, n_spaces: int) -> Table:
        """Return the table with so many spaces between its columns."""
        sheet = self.sheet
        table = empty_table(sheet.title, sheet.headers, sheet.note, n_left=sheet.n_left, n_spaces=n_spaces)
        for i, row in enumerate(sheet.rows):
            table.add_row(*(Text(cell.lines) for cell in row), style='bold' if i in sheet.strong else None)
        return table


def empty_table(title: str, headers: Sequence[str], caption: str = '', *, n_left: int = 1, n_spaces: int = 2) -> Table:
    """Return an empty table, the first columns aligned to the left."""
    table = Table(title=Text(title), title_justify='left', title_style='bold', caption_justify='left',
                  caption=Text(caption) if caption else None, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False,
                  padding=(0, n_spaces - 1, 0, 0))
    for i, header in enumerate(headers):
        table.add_column(Text(header), justify='left' if i < n_left else 'right', overflow='fold')
    return table


def _rounds(rows: Rows, runs: Sequence[Run]) -> Text:
    text = Text(f'Federated learning: {rounds_said([row for run in runs for row in run.summary])}')
    for metric, words in (('round_time', 'a round took'),
                          ('distribution_time', 'the model was at its last client after')):
        if mean(rows, metric) is not None:
            text.append(f'; {words} {cell(rows, metric).lines} on average'.replace('\n', ' '))
    reached = mean(rows, 'clients_reached_ratio')
    if reached is not None and reached < 1.0:
        text.append(f'; the model reached {share(reached)} of its clients')
    return text.append('.')


def plain_table(rows: Sequence[dict[str, str]]) -> Table:
    """Return rows of texts under their keys."""
    table = empty_table('', tuple(rows[0]), n_left=len(rows[0]))
    table.columns[0].no_wrap = True  # what a row is of stays in one piece
    for row in rows:
        table.add_row(*map(Text, row.values()))
    return table
