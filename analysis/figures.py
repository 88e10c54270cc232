"""The figures of a report, as pure functions: tables in, a matplotlib Figure out.

They show latency as an empirical distribution for each flow, where a flow's mean latency goes, what each class of
devices draws and how much of that is cryptography, and the rounds of learning. They leave out single jobs, single
devices and anything that changes over time but the rounds. Cryptography is vermilion and everything else blue in
every figure (Okabe and Ito's palette, told apart by the colour-blind); no figure relies on colour alone.

Nothing here touches pyplot. The same data give the same SVG, byte for byte.
"""

import io
import math
import re
from collections.abc import Mapping
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.axis import XAxis
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter
from matplotlib.typing import RcKeyType
from numpy.typing import NDArray

from analysis.formats import spell

INK, GRID = '#1b2127', '#cfd4d9'  # to_svg turns them into the page's own colours
BLUE, VERMILION = '#0072b2', '#d55e00'
PALE_BLUE, PALE_VERMILION = '#9ccbe8', '#f7c6a3'
CYCLE = (BLUE, '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#7f7f7f')  # Okabe and Ito 2008, less yellow
DASHES = ('-', '--', '-.', ':')
MARKERS_MAX = 60  # points of a line that still get a marker each
POINTS_MAX = 2_000  # of one curve
NAME_CHARS_MAX = 30
LATENCY_MIN_S = 1e-9  # a logarithmic axis has no zero
CRYPTO = ('aead.', 'kem.', 'sig.')
STYLE: dict[RcKeyType, Any] = {
    'axes.axisbelow': True, 'axes.edgecolor': INK, 'axes.grid': True, 'axes.labelcolor': INK,
    'axes.spines.right': False, 'axes.spines.top': False, 'axes.titlelocation': 'left', 'axes.titlesize': 10,
    'axes.titleweight': 'bold', 'figure.facecolor': 'none', 'axes.facecolor': 'none', 'font.size': 9.5,
    'grid.color': GRID, 'grid.linewidth': 0.6, 'legend.frameon': False, 'svg.fonttype': 'none', 'text.color': INK,
    'text.parse_math': False,  # a dollar in a name is a dollar
    'xtick.color': INK, 'ytick.color': INK, 'ytick.left': False,
}

def ecdf(values: NDArray[np.float64], points_max: int = POINTS_MAX) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return an empirical distribution function as a step curve from share 0 to 1.

    Points are left out evenly in share when there are more than `points_max`; those kept are exact, and the smallest
    and the largest value are always kept.
    """
    ordered = np.sort(values)
    n = ordered.size
    x = ordered[np.linspace(0, n - 1, min(n, points_max - 1)).round().astype(np.int64)]
    return np.concatenate((x[:1], x)), np.concatenate(([0.0], np.searchsorted(ordered, x, 'right') / n))


def latency_figure(latencies: Mapping[str, NDArray[np.float64]]) -> Figure:
    """Show the latency of each flow as an empirical distribution function.

    Parameters
    ----------
    latencies
        s, by flow; at least one flow, none of them empty.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 3.9), layout='constrained')
        axes = figure.subplots()
        draw_latencies(axes, latencies)
        axes.legend(loc='upper left', bbox_to_anchor=(1.0, 1.0))
        return figure


def draw_latencies(axes: Axes, latencies: Mapping[str, NDArray[np.float64]]) -> None:
    """Draw `latency_figure` into given axes, without the legend."""
    for i, (flow, values) in enumerate(latencies.items()):
        x, y = ecdf(np.maximum(values, LATENCY_MIN_S))
        axes.plot(x, y, drawstyle='steps-post', color=CYCLE[i % len(CYCLE)], linestyle=DASHES[i % len(DASHES)],
                  linewidth=1.8, label=f'{short(flow)} (n = {values.size:,})')
    spell_decades(axes.xaxis, 's')
    axes.set_ylim(0.0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=' %'))
    axes.set_xlabel('latency (logarithmic)')
    axes.set_ylabel('jobs completed within it')


def stage_figure(times: pl.DataFrame) -> Figure:
    """Show the mean seconds of each stage, waiting and service, one panel a flow.

    Parameters
    ----------
    times
        As `report.stage_times` returns it; at least one row.
    """
    flows = times['flow'].unique(maintain_order=True).to_list()
    tables = [times.filter(pl.col('flow') == flow) for flow in flows]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 0.5 + sum(0.62 + 0.23 * table.height for table in tables)), layout='constrained')
        panels = figure.subplots(len(tables), 1, squeeze=False,
                                 gridspec_kw={'height_ratios': [table.height for table in tables]})
        for axes, flow, table in zip(panels[:, 0], flows, tables, strict=True):
            _draw_stages(axes, flow, table)
        named = ((VERMILION, 'cryptography'), (PALE_VERMILION, 'waiting for cryptography'), (BLUE, 'other stages'),
                 (PALE_BLUE, 'waiting for others'))
        figure.legend(handles=[Patch(color=color, label=label) for color, label in named], loc='outside upper left',
                      ncols=4)
        return figure


def _draw_stages(axes: Axes, flow: str, table: pl.DataFrame) -> None:
    service_s, waiting_s = table['service_s'].to_numpy(), table['waiting_s'].to_numpy()
    is_crypto = [stage.startswith(CRYPTO) for stage in table['stage']]
    rows = np.arange(table.height)
    axes.barh(rows, service_s, 0.66, color=[VERMILION if crypto else BLUE for crypto in is_crypto])
    axes.barh(rows, waiting_s, 0.66, left=service_s, color=[PALE_VERMILION if crypto else PALE_BLUE
                                                            for crypto in is_crypto])
    for row, total_s in enumerate((service_s + waiting_s).tolist()):
        axes.annotate(spell(total_s, 's'), (total_s, row), xytext=(4, 0), textcoords='offset points', va='center')
    axes.set_yticks(rows, [short(f'{place}: {stage}') for place, stage in table.select('place', 'stage').iter_rows()])
    axes.set_ylim(table.height - 0.5, -0.5)
    axes.grid(visible=False, axis='y')
    longest_s = max(float((service_s + waiting_s).max()), LATENCY_MIN_S)
    axes.set_xlim(0.0, 1.12 * longest_s)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    _spell_ticks(axes.xaxis, 's')
    axes.set_title(f'{short(flow)}: mean {spell(float((service_s + waiting_s).sum()), "s")} (n = {table["n"][0]:,})')


def power_figure(classes: pl.DataFrame) -> Figure:
    """Show the mean power of a device of each class, and the part of it that cryptography takes.

    Parameters
    ----------
    classes
        ``class``, ``power_w`` and ``crypto_share``; at least one row with a positive, finite power.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 1.3 + 0.34 * classes.height), layout='constrained')
        axes = figure.subplots()
        draw_powers(axes, classes)
        figure.legend(*axes.get_legend_handles_labels(), loc='outside upper left', ncols=2)
        return figure


def draw_powers(axes: Axes, classes: pl.DataFrame) -> None:
    """Draw `power_figure` into given axes, without the legend.

    The axis is logarithmic, because a patch and a monitor are a thousand times apart; a logarithmic bar has no honest
    length, so these are points.
    """
    power_w = _positive(classes['power_w'])
    crypto_w = power_w * _positive(classes['crypto_share'])
    rows = np.arange(classes.height)
    axes.hlines(rows, crypto_w, power_w, color=GRID, linewidth=2.5, zorder=1)
    axes.scatter(power_w, rows, s=55, color=BLUE, label='all', zorder=2)
    axes.scatter(crypto_w, rows, s=45, color=VERMILION, marker='D', label='cryptography', zorder=2)
    for row, value in enumerate(classes['crypto_share']):
        axes.annotate(spell(value, '1'), (1.0, row), xytext=(8, 0), xycoords=('axes fraction', 'data'), va='center',
                      textcoords='offset points', color=VERMILION, fontweight='bold', annotation_clip=False)
    spell_decades(axes.xaxis, 'W')
    axes.set_xlim(np.nanmin([power_w, crypto_w]) / 2, np.nanmax(power_w) * 2)
    axes.set_yticks(rows, [short(name) for name in classes['class']])
    axes.set_ylim(classes.height - 0.5, -0.5)
    axes.grid(visible=False, axis='y')
    axes.set_xlabel('mean power of a device (logarithmic); right: share of cryptography')


def rounds_figure(rounds: pl.DataFrame) -> Figure:
    """Show how long each round of learning took, and how many clients took part.

    Parameters
    ----------
    rounds
        The table of a run folder; at least one row. NaN is a round that never came to it, and a gap.
    """
    if rounds.height > POINTS_MAX:
        rounds = rounds.gather_every(-(-rounds.height // POINTS_MAX))
    marked = rounds.height <= MARKERS_MAX
    number = rounds['round'].to_numpy() + 1
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 3.0), layout='constrained')
        times, clients = figure.subplots(1, 2)
        for i, (column, label) in enumerate((('round_time_s', 'new global model'),
                                             ('distribution_time_s', 'model reached its last client'))):
            times.plot(number, rounds[column].fill_null(math.nan).to_numpy(), DASHES[i], color=CYCLE[i], label=label,
                       marker='oD'[i] if marked else '')
        times.set_ylim(bottom=0.0)
        times.set_ylabel('seconds since the round began')
        for i, (column, label) in enumerate((('n_selected', 'selected'), ('n_delivered', 'in time'))):
            clients.plot(number, rounds[column].to_numpy(), DASHES[i], color=CYCLE[i], label=label,
                         marker='oD'[i] if marked else '')
        clients.set_ylim(0.0, 1.15 * max(1, *rounds['n_selected']))
        clients.set_ylabel('clients')
        clients.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        for axes in (times, clients):
            axes.set_xlabel('round')
            axes.set_xlim(number[0] - 0.5, number[-1] + 0.5)
            axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
            axes.legend(loc='lower left', bbox_to_anchor=(0.0, 1.0), ncols=2)
        return figure


def to_svg(figure: Figure, name: str, label: str) -> str:
    """Write a figure as an ``<svg>`` element to stand in a page.

    Parameters
    ----------
    name
        Unique in the page: it begins every id of the figure.
    label
        Read out in place of the picture.
    """
    text = io.StringIO()
    with mpl.rc_context({**STYLE, 'svg.hashsalt': name}):
        figure.savefig(text, format='svg', metadata={'Date': None}, transparent=True)
    svg = text.getvalue()[text.getvalue().index('<svg'):]
    svg = re.sub(r'<metadata>.*?</metadata>|\s+xmlns(:\w+)?="[^"]*"', '', svg, flags=re.DOTALL)
    svg = svg.replace('xlink:href="#', f'href="#{name}-').replace('url(#', f'url(#{name}-')
    svg = svg.replace(' id="', f' id="{name}-')
    svg = svg.replace(INK, 'var(--ink)').replace(GRID, 'var(--grid)')
    return svg.replace('<svg', f'<svg role="img" aria-label="{escape(label)}"', 1)


def _positive(values: pl.Series) -> NDArray[np.float64]:
    found = values.fill_null(math.nan).to_numpy()
    return np.where(np.isfinite(found) & (found > 0), found, math.nan)


def spell_decades(axis: XAxis, unit: str) -> None:
    """Make an axis logarithmic, and write its ticks as the tables write numbers."""
    axis.axes.set_xscale('log')
    axis.set_major_locator(LogLocator(numticks=6))
    _spell_ticks(axis, unit)


def _spell_ticks(axis: XAxis, unit: str) -> None:
    axis.set_major_formatter(FuncFormatter(lambda value, _: spell(value, unit)))
    axis.set_minor_formatter(NullFormatter())


def short(name: str, chars_max: int = NAME_CHARS_MAX) -> str:
    """Return a name that fits beside an axis."""
    return name if len(name) <= chars_max else f'{name[:chars_max - 1]}…'
