"""`trisep evaluate`: a model and a protocol → a table of scores."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg

from trisep.commands import Device, end_of_one_result, require_not_negative, require_positive
from trisep.errors import ConfigError
from trisep.media.files import is_same_file
from trisep.separation import Precision


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Score a model, baselines, or both on a protocol: a frozen list of mixtures whose sources are known.

    For example:

        trisep evaluate default --data avmini
        trisep evaluate run/model --data avmini --query image --out scores
        trisep evaluate --data avmini --baseline mixture --baseline nmf-mfcc --out scores

    After an interruption, run the same command again to continue.
    """

    checkpoint: Annotated[Positional[str | None], arg(metavar="NAME|PATH")] = None
    """A model, by name (see: trisep models), folder or hf:OWNER/NAME; it may be left out where baselines are given."""
    data: Annotated[Path, arg(metavar="FOLDER|LIST")]
    """The protocol's clips: a CSV (path, split, label), a folder with manifest.csv, or what trisep data wrote."""
    media: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder that the list's paths are relative to; the default is the list's own folder."""
    protocol: str = "avmini"
    """Name of the protocol."""
    pairs: Annotated[Path | None, arg(metavar="CSV")] = None
    """Score the mixtures of this list instead (path_1, label_1, path_2, label_2; like pairs.csv of --out)."""
    query: Literal["text", "image", "video", "region", "boxes", "sound"] = "text"
    """The kind of query for the model; boxes: all things that a detector found in the frames of a source; sound:
    another recording of the source's label on the list."""
    boxes: Annotated[Path | None, arg(metavar="CSV")] = None
    """A detector's list for --query boxes (see trisep embed); the default is what lite finds."""
    baseline: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME")] = ()
    """A further system: mixture, random-mask, nmf-mfcc, rpca, ideal-binary-mask, ideal-ratio-mask (the default)."""
    masks: Literal["protocol", "soft", "binary"] = "protocol"
    """Whether the model's masks are binarised; by default the protocol decides."""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder for the table, the score of every source and the pair list."""
    seed: int = 0
    """Seed of the pair list, the baselines and the bootstrap."""
    workers: int | None = None
    """Number of processes; the default is one per processor."""
    limit: int | None = None
    """Score only this many mixtures of the list, from its start."""
    skip_missing: FlagCreatePairsOff[bool] = False
    """Count mixtures with missing or unreadable clips as skipped."""
    device: Device = "auto"
    """Device that the model computes on; auto takes a GPU if there is one."""
    precision: Precision = "fp32"
    """Numbers that the model computes in; fp32 gives the same scores on every processor."""
    strict: FlagCreatePairsOff[bool] = False
    """End with exit code 1 where a mixture was left out for a clip that is missing, silent, too short or unreadable."""

    def __post_init__(self) -> None:
        """Raise ConfigError for numbers out of range, for a command that would score nothing, and for one that would
        shorten the list that it reads.
        """
        require_positive(workers=self.workers, limit=self.limit)
        require_not_negative(seed=self.seed)
        if self.boxes is not None and self.query != "boxes":
            raise ConfigError("--boxes is the list for --query boxes: add that option, or leave --boxes out")
        if self.pairs and self.out and self.limit and is_same_file(self.pairs, self.out / "pairs.csv"):
            raise ConfigError(f"--out: {self.pairs} would be cut to {self.limit} mixtures; choose another --out")
        if self.checkpoint is None and not self.baseline:
            raise ConfigError(
                "nothing to score: give a model's name, a checkpoint, or a system with --baseline, for example mixture"
            )


def run(arguments: Arguments) -> int:
    """Score the mixtures, print the table and write it where `--out` says; returns 0, or with --strict 1 when some were
    left out for a clip of theirs.
    """
    import sys

    from trisep.errors import shown
    from trisep.evaluation.run import evaluate

    summary = evaluate(
        arguments.checkpoint,
        data=arguments.data,
        media=arguments.media,
        protocol=arguments.protocol,
        pairs=arguments.pairs,
        query=arguments.query,
        boxes=arguments.boxes,
        baselines=arguments.baseline,
        masks=arguments.masks,
        out=arguments.out,
        seed=arguments.seed,
        num_workers=arguments.workers,
        limit=arguments.limit,
        skip_missing=arguments.skip_missing,
        device=arguments.device,
        precision=arguments.precision,
    )
    if summary is None:
        return 0
    print(summary.text)
    if summary.not_understood:
        names = ", ".join(repr(word) for word in summary.not_understood)
        print(f"trisep: warning: words of the list that are not understood: {shown(names)}", file=sys.stderr)
    if summary.earlier is not None:
        print(
            f"trisep: these are the scores of an earlier run of the same; to score again, remove {summary.earlier}",
            file=sys.stderr,
        )
    what = f"of {summary.num_mixtures} mixtures left out, for clips that the table names"
    return end_of_one_result(summary.num_left_out, what, strict=arguments.strict)
