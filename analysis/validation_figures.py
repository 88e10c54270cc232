"""The figures of a validation: distributions in pairs, errors beside what they may be, and the predicted effect."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from analysis.figures import BLUE, GRID, INK, STYLE, VERMILION, short
from analysis.formats import spell
from analysis.validation import FLOWS, Effect, Error, Validation

WIDTH = 8.6  # inches
MEASURED, PREDICTED = BLUE, VERMILION
SHOWN = np.linspace(0.005, 0.995, 397)  # of a distribution


def distributions(found: Validation) -> Figure:
    """Show the latency of each flow in each configuration, measured and predicted, as distribution functions.

    The rarest are left out, which would take most of the axis.
    """
    names = list(dict.fromkeys(name for name, _, _ in found.latencies))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.6 + 1.55 * len(names)), layout='constrained')
        panels = figure.subplots(len(names), len(FLOWS), squeeze=False)
        for row, name in zip(panels, names, strict=True):
            for axes, flow in zip(row, FLOWS, strict=True):
                for world, color, dash in (('measured', MEASURED, '-'), ('predicted', PREDICTED, '--')):
                    if len(each := found.latencies[name, flow, world]):  # else none was delivered
                        axes.plot(np.quantile(each, SHOWN), SHOWN, color=color, linestyle=dash, linewidth=1.6,
                                  label=world)
                axes.xaxis.set_major_locator(MaxNLocator(4))
                axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: spell(value, 's')))
                axes.set_ylim(0.0, 1.02)
                axes.set_title(f'{short(name)}: {flow}')
        figure.legend(*panels[0, 0].get_legend_handles_labels(), loc='outside upper left', ncols=2)
        figure.supxlabel(f'latency, {SHOWN[0]:.1%} to {SHOWN[-1]:.1%}', fontsize=9.5)
        return figure


def errors(found: Sequence[Error]) -> Figure:
    """Show predicted less measured as a share of what was measured, with its interval, beside what it may be."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.9 + 0.2 * len(found)), layout='constrained')
        axes = figure.subplots()
        for i, each in enumerate(found):
            truth, off = each.measured, each.difference
            if each.allowed is not None:
                axes.barh(i, 2 * each.allowed / truth, left=-each.allowed / truth, color=GRID, height=0.8)
            if off.low is not None and off.high is not None:
                axes.plot([off.low / truth, off.high / truth], [i, i], color=INK, linewidth=1.2)
            axes.plot(off.mean / truth, i, marker='o', markersize=4,
                      color=VERMILION if each.is_within is False else BLUE)
        axes.axvline(0.0, color=INK, linewidth=0.8)
        axes.set_yticks(range(len(found)), [f'{short(each.configuration)}: {each.of} {each.what} {each.statistic}'
                                            for each in found], fontsize=8)
        axes.set_ylim(len(found) - 0.4, -0.6)
        widest = max(abs(bound) / each.measured for each in found for bound in (
            each.difference.mean, each.allowed or 0.0))
        axes.set_xlim(-1.3 * widest, 1.3 * widest)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{100 * value:+.3g} %'))
        axes.set_xlabel('predicted less measured; line: 95 % interval over runs\ngrey: what it may be; vermilion: more')
        return figure


def effects(found: Sequence[Effect]) -> Figure:
    """Show the effect of distributing the cryptography, predicted against measured, with both intervals."""
    kinds = list(dict.fromkeys((each.what, each.of, each.statistic) for each in found))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.2), layout='constrained')
        for axes, kind in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
            rows = [each for each in found if (each.what, each.of, each.statistic) == kind]
            for each in rows:
                axes.errorbar(each.measured.mean, each.predicted.mean, xerr=_bars(each.measured),
                              yerr=_bars(each.predicted), color=BLUE, marker='o', markersize=5, linewidth=1.2)
            ends = [bound for each in rows for bound in (each.measured.mean, each.predicted.mean, 0.0)]
            low, high = min(ends), max(ends)
            room = 0.15 * (high - low or 1.0)
            axes.plot([low - room, high + room], [low - room, high + room], color=INK, linewidth=0.8, linestyle=':')
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(FuncFormatter(lambda value, _: spell(value, 's')))
            axes.tick_params('x', rotation=45)
            axes.set_title(f'{kind[1]} {kind[0]} {kind[2]}')
            axes.set_xlabel('measured effect')
        figure.supylabel('predicted effect', fontsize=9.5)
        return figure


def _bars(interval: object) -> np.ndarray | None:
    low, mean, high = (getattr(interval, name) for name in ('low', 'mean', 'high'))
    return None if low is None else np.array([[mean - low], [high - mean]])
