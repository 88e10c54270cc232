"""The figure of a run on hardware: how long messages took to the workers and back, and what that is made of.

One panel a flow, with the empirical distributions of the round trip and of its three parts. The parts of one message
add up to its round trip; their percentiles do not.
"""

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from analysis.figures import BLUE, CYCLE, INK, LATENCY_MIN_S, STYLE, VERMILION, ecdf, short, spell_decades

PARTS = {  # column -> its name, colour and line
    'round_trip_s': ('round trip', INK, '-'), 'waiting_s': ('waiting at workers', CYCLE[1], '-.'),
    'service_s': ('worked on', VERMILION, '--'), 'broker_and_wire_s': ('broker and wire', BLUE, ':'),
}
COLUMNS_MAX = 2  # of panels


def round_trip_figure(chains: pl.DataFrame) -> Figure:
    """Show the round trip of each flow's messages and its parts as empirical distribution functions.

    Parameters
    ----------
    chains
        The counted rows of a run's table with that name; at least one.
    """
    flows = chains['flow'].unique(maintain_order=True).to_list()
    n_columns = min(COLUMNS_MAX, len(flows))
    n_rows = -(-len(flows) // n_columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 0.5 + 2.3 * n_rows), layout='constrained')
        panels = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True).ravel()
        for axes, flow in zip(panels, flows, strict=False):
            rows = chains.filter(pl.col('flow') == flow)
            for column, (name, color, dashes) in PARTS.items():
                x, y = ecdf(np.maximum(rows[column].to_numpy(), LATENCY_MIN_S))
                axes.plot(x, y, dashes, drawstyle='steps-post', color=color, linewidth=1.8, label=name)
            spell_decades(axes.xaxis, 's')
            axes.set_ylim(0.0, 1.02)
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=' %'))
            axes.set_title(f'{short(flow)} (n = {rows.height:,})')
        for axes in panels[len(flows):]:
            axes.set_visible(False)
        figure.legend(*panels[0].get_legend_handles_labels(), loc='outside upper left', ncols=len(PARTS))
        figure.supxlabel('time measured (logarithmic)', fontsize='medium')
        figure.supylabel('messages within it', fontsize='medium')
        return figure
