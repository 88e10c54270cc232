"""Models of a few rows, for exact tests by hand."""

from collections.abc import Sequence

from sim.building import Hop, ModelBuilder
from sim.model import LISTED


def add_stream(b: ModelBuilder, name: str, times_s: Sequence[float], hops: Sequence[Hop], *, attachment: int = -1,
               watts: dict[str, float] | None = None, **route: object) -> int:
    """Add a class of one entity that launches a stream of the same name at given times; return the entity's row."""
    class_row, stream = b.class_(name, **(watts or {})), b.stream(name, name)
    entity = int(b.entities(class_row, [attachment])[0])
    b.route(stream, class_row, hops, **route)  # type: ignore[arg-type]
    b.source(stream, class_row, LISTED, listed=[(0, time_s) for time_s in times_s])
    return entity
