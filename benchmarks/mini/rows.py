"""The rows of the benchmark's table: for each arm, shipped model and baseline what it is, what it costs, and what it
scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runs import Run, median_step_seconds
from scores import (
    PROTOCOLS,
    QUERIES,
    Measured,
    QueryName,
    ScoringSettings,
    measure,
    score_baselines,
    score_model,
)

from trisep.baselines import ideal_mask
from trisep.checkpoints.format import load_model, read_card
from trisep.checkpoints.registry import checkpoint_folder
from trisep.evaluation.mixtures import system_names

_ARM_QUERIES: tuple[QueryName, ...] = ("text", "image", "video", "boxes", "sound")
_ASKED = {"label": "label", "none": "nothing"}
"""What recipes of these query kinds are asked with when the protocol says "text"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One system, asked in one way."""

    name: str
    query: str
    """As `trisep evaluate --query` has it; empty for baselines. Rows of one query are compared with one another."""
    asked: str
    """What it is asked with in truth."""
    results: Mapping[str, Measured]
    """By protocol."""
    oracle: bool = False
    """Whether its outputs were put in order by somebody who knows the sources."""
    seconds_per_step: float | None = None
    num_parameters: int | None = None
    supervision: str = ""
    note: str = ""


def arm_rows(runs: Sequence[Run], settings: ScoringSettings) -> list[Row]:
    """Two rows for each arm that can be asked with words and with pictures, else one; a mean over the
    seeds there are.
    """
    by_name: dict[str, list[Run]] = {}
    for run in runs:
        by_name.setdefault(run.name, []).append(run)
    rows = []
    for name, group in by_name.items():
        arm = group[0].arm
        asked = arm.queries[:1] if settings.one_query else arm.queries
        for query in (one for one in _ARM_QUERIES if one in asked):
            tables = {run.seed: score_model(run.model, run.folder / "scores", query, settings) for run in group}
            rows.append(
                Row(
                    name=name,
                    query=query,
                    asked=_ASKED.get(arm.recipe.query, query),
                    results={one: measure({seed: paths[one] for seed, paths in tables.items()}) for one in PROTOCOLS},
                    oracle=arm.recipe.query == "none",
                    seconds_per_step=median_step_seconds(group),
                    num_parameters=_num_parameters(group[0].model),
                    supervision=arm.recipe.supervision,
                    note=arm.note,
                )
            )
    return rows


def shipped_rows(names: Sequence[str], folder: Path, settings: ScoringSettings) -> list[Row]:
    """Two rows for each model that comes with the package."""
    rows = []
    for name in names:
        place = checkpoint_folder(name)
        card = read_card(place)
        for query in QUERIES:
            tables = score_model(name, folder / name, query, settings)
            rows.append(
                Row(
                    name=name,
                    query=query,
                    asked=query,
                    results={one: measure({0: table}) for one, table in tables.items()},
                    num_parameters=_num_parameters(place),
                    supervision=str(card.get("recipe", {}).get("supervision", "")),
                    note=f"shipped, after {card['step']} steps" if "step" in card else "shipped",
                )
            )
    return rows


def baseline_rows(folder: Path, settings: ScoringSettings) -> list[Row]:
    """A row for each baseline."""
    tables = score_baselines(folder, settings)
    return [
        Row(
            name=name,
            query="",
            asked="nothing",
            results={one: measure({0: table}, system) for one, table in tables.items()},
            oracle="oracle" in system,
            note=_baseline_note(name),
        )
        for name, system in zip(settings.baselines, system_names(None, "text", settings.baselines), strict=True)
    ]


def find(rows: Sequence[Row], name: str, query: str) -> Row | None:
    """The row of an arm with this query, if it is there."""
    return next((row for row in rows if (row.name, row.query) == (name, query)), None)


def _baseline_note(name: str) -> str:
    if name.startswith("ideal-"):
        return f"{ideal_mask.KIND}: made from the true sources"
    floors = {"mixture": "floor: the mixture itself, which on dev has no artefacts", "random-mask": "floor"}
    return floors.get(name, "classical, blind; oracle order")


def _num_parameters(checkpoint: Path) -> int:
    return sum(parameter.numel() for parameter in load_model(checkpoint).model.parameters())
