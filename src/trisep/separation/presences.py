"""Whether queries are heard in a file, as `trisep separate` says it, where no stem is wanted."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trisep.errors import MediaError
from trisep.queries.embed import split_words
from trisep.separation.options import SeparationOptions
from trisep.separation.separator import Separator
from trisep.types import Query


@dataclass(frozen=True, slots=True)
class Presence:
    """How likely a query is heard."""

    presence: float | None = None
    """0 to 1; None where that is not known."""
    present: bool | None = None
    """Whether that reaches the model's threshold; None where that is not known."""


def presences(
    separator: Separator, path: Path, queries: Sequence[Query], *, allow_truncated: bool = False
) -> list[Presence]:
    """Return the presence of each query in the sound of a file.

    It is not known where there is no sound or none that can be read to its end (unless `allow_truncated`), and for a
    model that answers no words.
    """
    unknown = [Presence()] * len(queries)
    if separator.model.contract.reads not in ("vectors", "regions"):
        return unknown
    asked = [split_words(query) for query in queries]
    try:
        running = separator.start(path, asked, SeparationOptions(allow_truncated=allow_truncated))
        for _ in running.segments():
            continue
    except MediaError:
        return unknown
    stems = running.stems([query.name for query in asked], separator.calibration, None)
    return [Presence(stem.presence, stem.present) for stem in stems]
