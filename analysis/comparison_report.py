"""Scenarios compared with the first, as one page: what they differ in, and by how much, with 95 % intervals."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from analysis.interval_figures import comparable, comparison_figure
from analysis.page import drawn, render_page
from analysis.sheets import comparison_sheet
from analysis.words import security_said, world_said
from sim.results.folder import Run, complete_file

NAME_CHARS_MAX = 120  # of the names in a file's name


@dataclass(frozen=True)
class Side:
    """The runs of one scenario, and what they are called."""

    name: str
    runs: Sequence[Run]

    @property
    def world(self) -> str:
        """In what world its numbers came about."""
        return world_said(self.runs[0].manifest)

    @property
    def label(self) -> str:
        """What it is called beside one of another world."""
        return f'{self.name} ({self.world})' if self.runs[0].is_measured else self.name

    @property
    def seeds(self) -> list[int]:
        """The seeds of its runs."""
        return [run.manifest['seed'] for run in self.runs]


def write_comparison(sides: Sequence[Side], differences: Sequence[pl.DataFrame], folder: Path) -> Path:
    """Write the page of a comparison into a folder, under a name that no other comparison has, and return its path.

    Raises
    ------
    InputError
        If a run folder is damaged.
    RunError
        If the page cannot be written.
    """
    text = render_comparison(sides, differences)
    folder.mkdir(parents=True, exist_ok=True)
    with complete_file(folder / page_name(sides)) as page:
        page.write_text(text, 'utf-8')
    return folder / page_name(sides)


def worlds(base: Side, other: Side) -> tuple[str, str]:
    """Return how the columns of two sides are marked: not at all if both are simulated."""
    is_marked = any(run.is_measured for side in (base, other) for run in side.runs)
    return (base.world, other.world) if is_marked else ('', '')


def page_name(sides: Sequence[Side]) -> str:
    """Return the name of the page: those of the sides, and a digest of their scenarios and seeds."""
    compared = [(side.runs[0].manifest.get('scenario_hash'), side.name, side.world,
                 [run.folder.name for run in side.runs]) for side in sides]
    names = f'{"-and-".join(side.name for side in sides[1:])}-against-{sides[0].name}'[:NAME_CHARS_MAX]
    return f'{names}-{hashlib.sha256(repr(compared).encode()).hexdigest()[:8]}.html'


def render_comparison(sides: Sequence[Side], differences: Sequence[pl.DataFrame]) -> str:
    """Return the page of a comparison with the first side; `differences` are those of each other side from it."""
    base, parts, figures = sides[0], [], {}
    for i, (other, table) in enumerate(zip(sides[1:], differences, strict=True)):
        changes = comparable(table)
        if changes.height:
            figures[f'changes-{i}'] = (comparison_figure(changes),
                                       f'Differences of {other.name} from {base.name}, with 95 % intervals')
        sheet = comparison_sheet(table, base.name, other.name, worlds(base, other))
        parts.append((f'changes-{i}', sheet, unlike(base, other)))
    return render_page(
        'comparison.html', sides=sides, parts=parts, figures=drawn(figures),
        is_measured=any(run.is_measured for side in sides for run in side.runs),
        claims=[(side.label, security_said(side.runs[0].manifest.get('security'))) for side in sides],
        warnings=[(side.label, run.manifest['seed'], warning) for side in sides for run in side.runs
                  for warning in run.manifest.get('warnings', ())])


def unlike(base: Side, other: Side) -> list[tuple[str, str, str]]:
    """Return the keys that two scenarios differ in, with the value of each; an empty text where one has none."""
    left, right = (dict(_leaves(side.runs[0].scenario)) for side in (base, other))
    return [(key, left.get(key, ''), right.get(key, '')) for key in dict.fromkeys((*left, *right))
            if left.get(key) != right.get(key) and key not in ('name', 'seed', 'description')]


def _leaves(tree: Any, at: str = '') -> Iterator[tuple[str, str]]:
    """Yield every value of a scenario as text, by its dotted key."""
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from _leaves(value, f'{at}.{key}' if at else key)
    else:
        yield at, str(tree)
