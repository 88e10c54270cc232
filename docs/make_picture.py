"""Makes the README's picture from a run folder: how late, and at what price in energy.

``python docs/make_picture.py RUN [PICTURE]``, from the root of the repository; the run must have its jobs traced. Left,
the latency of each flow; right, what a device of each class draws and the part of it that cryptography takes. Flows
with few jobs, such as those of single rounds of learning, are left out: a curve of three jobs says nothing.
"""

import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from analysis.figures import INK, STYLE, draw_latencies, draw_powers
from analysis.report import class_table, completed_latencies, flow_names
from sim.results.folder import Run, read_run

PICTURE = Path(__file__).resolve().parent / 'teaching-hospital.png'
JOBS_MIN = 200
DPI = 160  # 1,920 pixels wide, to be shown at 1,200 or less


def draw(run: Run) -> Figure:
    """Draw the picture of a run."""
    flows = completed_latencies(run.table('jobs'), flow_names(run.summary))
    flows = {flow: values for flow, values in flows.items() if values.size >= JOBS_MIN}
    manifest = run.manifest
    with mpl.rc_context({**STYLE, 'font.size': 11, 'axes.titlesize': 12}):
        figure = Figure(figsize=(12, 5), layout='constrained', facecolor='white')
        left, right = figure.subplots(1, 2)
        draw_latencies(left, flows)
        left.set_title('How long a job takes', pad=30)
        right.set_title('What a device draws, and its cryptography', pad=30)
        draw_powers(right, class_table(run.summary, run.scenario))
        for axes in (left, right):
            legend = axes.legend(loc='lower left', bbox_to_anchor=(-0.02, 0.99), ncols=4, columnspacing=1.0,
                                 handlelength=1.6, fontsize=9.5)
            legend.set_in_layout(False)
        figure.suptitle(f'{manifest["scenario"]}: {manifest["n_devices"]:,} devices, seed {manifest["seed"]}, '
                        f'{manifest["world"]}', x=0.008, ha='left', fontweight='bold', fontsize=14, color=INK)
        return figure


def main(arguments: list[str]) -> None:
    """Write the picture of the run named first to the file named second."""
    run, picture = read_run(arguments[0]), Path(arguments[1]) if len(arguments) > 1 else PICTURE
    draw(run).savefig(picture, dpi=DPI, metadata={'Software': None})


if __name__ == '__main__':
    main(sys.argv[1:])
