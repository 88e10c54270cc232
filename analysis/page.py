"""Pages: one self-contained HTML file each, from a template, with every number in full beside what is shown of it."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from analysis.figures import to_svg
from analysis.formats import spell
from analysis.words import rounds_said, subject
from sim.results.folder import Run

ROUNDS_SHOWN = 20
TEMPLATES = Path(__file__).resolve().parent / 'templates'


def render_page(template: str, **context: object) -> str:
    """Return a page; a name that the template asks for and is not there is an error."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {'exact': exact, 'subject': subject}
    return environment.get_template(template).render(**context)


def learning_parts(run: Run) -> dict[str, Any]:
    """Return what a page says of the learning of one run."""
    rounds = run.table('rounds')
    return {
        'rounds': rounds.head(ROUNDS_SHOWN).to_dicts(), 'n_rounds': rounds.height,
        'round_metrics': [row for row in run.summary if row['metric'] in ('round_time', 'distribution_time')],
        'rounds_said': rounds_said(run.summary) if run.scenario['learning'] else None,
    }


def exact(value: float | None, unit: str, shown: str | None = None) -> Markup:
    """Return a value to read, with the same value in full beside it for machines and for the curious."""
    text = spell(value, unit) if shown is None else shown
    if value is None or not math.isfinite(value):
        return Markup('{}').format(text)
    return Markup('<data value="{0!r}" title="{0!r} {1}">{2}</data>').format(value, unit, text)


def drawn(figures: Mapping[str, tuple[Figure, str]]) -> dict[str, Markup]:
    """Return figures as they stand in a page, by their names; each comes with what is read out in its place."""
    return {name: Markup(to_svg(figure, name, label)) for name, (figure, label) in figures.items()}
