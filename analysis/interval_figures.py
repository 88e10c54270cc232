"""Figures of several runs: means over the runs with their 95 % intervals, as points with bars.

They show the latency of each flow and the deadlines that it missed, and by how much each metric differs between two
scenarios. A point without a bar is of one run. No figure relies on colour alone.
"""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from analysis.figures import BLUE, CYCLE, INK, STYLE, short, spell_decades
from analysis.formats import spell
from analysis.replications import BOUNDS
from analysis.words import STATISTICS, metric_name

PERCENTILES = ('p50', 'p95', 'p99')
MARKERS = 'osD'
APART = 0.22  # of a line, between the points of one flow
MISSED_MIN = 0.01  # the least that the axis of missed deadlines goes to
DIFFERENCES_MAX = 24
LINEAR_SHARE = 0.1  # within it a wide axis of differences is linear

Summary = Sequence[dict[str, Any]]  # of several runs, see `replications.summarise`


def replications_figure(summary: Summary) -> Figure:
    """Show median, p95 and p99 of the latency of each flow, one at least, and its missed deadlines."""
    timed = [row for row in summary if row['metric'] == 'latency' and row['p50'] is not None]
    missed = {row['flow']: row for row in summary if row['metric'] == 'deadline_miss_ratio' and row['class'] is None}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 1.3 + 0.5 * len(timed)), layout='constrained')
        latency, deadlines = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        for i, statistic in enumerate(PERCENTILES):
            _draw(latency, [(line + APART * (i - 1), row, statistic) for line, row in enumerate(timed)], MARKERS[i],
                  CYCLE[i])
        spell_decades(latency.xaxis, 's')
        latency.set_xlabel('latency (logarithmic)')
        latency.set_yticks(range(len(timed)), [short(row['flow']) for row in timed])
        latency.set_ylim(len(timed) - 0.5, -0.5)
        late = [(line, missed[row['flow']], 'mean') for line, row in enumerate(timed) if row['flow'] in missed]
        _draw(deadlines, late, MARKERS[0], BLUE)
        most = max([MISSED_MIN, *(1.1 * (row['ci95_high'] or row['mean']) for row in missed.values())])
        deadlines.set_xlim(-0.02 * most, most)
        deadlines.xaxis.set_major_locator(MaxNLocator(4))
        deadlines.xaxis.set_major_formatter(FuncFormatter(lambda value, _: spell(value, '1')))
        deadlines.set_xlabel(metric_name('deadline_miss_ratio'))
        deadlines.tick_params(left=False)
        for axes in (latency, deadlines):
            axes.grid(visible=False, axis='y')
        named = zip(PERCENTILES, MARKERS, CYCLE, strict=False)
        figure.legend(handles=[Line2D([], [], color=color, marker=marker, linestyle='', label=STATISTICS[statistic])
                               for statistic, marker, color in named], loc='outside upper left', ncols=3)
        return figure


def _draw(axes: Axes, points: Sequence[tuple[float, dict[str, Any], str]], marker: str, color: str) -> None:
    """Draw the statistic of each row on its line, with its interval where it has one."""
    for line, row, statistic in points:
        low, high = (row[bound] for bound in BOUNDS[statistic])
        value = row[statistic]
        bars = None if low is None or high is None else [[value - max(low, 0.0)], [high - value]]
        axes.errorbar([value], [line], xerr=bars, color=color, marker=marker, markersize=5, capsize=3, linewidth=1.4)


def comparable(differences: pl.DataFrame) -> pl.DataFrame:
    """Return the differences that can be drawn as a share of the base, the largest first: `change`, `low`, `high`."""
    share = {'change': 'difference', 'low': 'ci95_low', 'high': 'ci95_high'}
    found = differences.filter((pl.col('base') != 0) & (pl.col('difference') != 0))
    found = found.with_columns(**{name: pl.col(column) / pl.col('base').abs() for name, column in share.items()})
    return found.sort('is_settled', pl.col('change').abs(), descending=True, maintain_order=True).head(DIFFERENCES_MAX)


def comparison_figure(changes: pl.DataFrame) -> Figure:
    """Show by what share of the base each metric differs, with its interval; settled differences are filled.

    Parameters
    ----------
    changes
        As `comparable` returns it; at least one row.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 1.0 + 0.26 * changes.height), layout='constrained')
        axes = figure.subplots()
        for line, row in enumerate(changes.iter_rows(named=True)):
            bars = None if row['low'] is None else [[row['change'] - row['low']], [row['high'] - row['change']]]
            axes.errorbar([row['change']], [line], xerr=bars, color=BLUE, marker='o', markersize=5.5, capsize=3,
                          linewidth=1.4, markerfacecolor=BLUE if row['is_settled'] else 'none')
        axes.axvline(0.0, color=INK, linewidth=0.8)
        if np.abs(axes.get_xlim()).max() > 1.0:
            axes.set_xscale('symlog', linthresh=LINEAR_SHARE)
            axes.autoscale(axis='x')  # with its margins anew
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{"+" if value > 0 else ""}{spell(value, "1")}'))
        names = [short(f'{metric_name(row["metric"], row["statistic"])}, {row["of"]}'.removesuffix(', '), 44)
                 for row in changes.iter_rows(named=True)]
        axes.set_yticks(range(changes.height), names)
        axes.set_ylim(changes.height - 0.5, -0.5)
        axes.grid(visible=False, axis='y')
        axes.set_xlabel('difference, as a share of the first scenario')
        return figure
