"""`trisep separate`: media and queries → one sound file per query, and the rest."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg

from trisep.commands import Device, require_between, require_positive
from trisep.errors import QueryError
from trisep.media import IMAGE_SUFFIXES, MEDIA_SUFFIXES


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Write one sound file for each thing you name or point at, and the rest.

    For example:

        trisep separate clip.mp4 "violin" "rooster barking" --out stems
        trisep separate clip.mp4 --image photo.jpg --region 0.25,0.5
        trisep separate clip.mp4 "traffic" --remove
        trisep separate recordings/ "bird singing" --format flac
    """

    input: Annotated[Positional[Path], arg(metavar="INPUT")]
    """A video or sound file, or a folder of them."""
    queries: Annotated[
        Positional[tuple[str, ...]], arg(name="query", metavar="[QUERY ...]", help_behavior_hint="")
    ] = ()
    """What to listen for, in words; each gets a file of its own."""
    also: Annotated[UseAppendAction[tuple[tuple[Path, ...], ...]], arg(metavar="FILE ...")] = ()
    """More files or folders to separate by the same queries."""
    out: Annotated[Path, arg(metavar="DIR")] = Path("separated")
    """Folder for the sounds and report.json; made if absent."""
    model: Annotated[str, arg(metavar="NAME|PATH")] = "default"
    """A model's name (see: trisep models) or a checkpoint."""
    image: UseAppendAction[tuple[Path, ...]] = ()
    """A photograph of what to listen for."""
    video: UseAppendAction[tuple[Path, ...]] = ()
    """A video that shows what to listen for; INPUT itself asks for all that is in its picture."""
    region: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="X,Y[,T]")] = ()
    """What is at a point of INPUT's picture: shares of width and height from the upper left, or pixels (320px,180px); T
    in seconds.
    """
    box: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="X,Y,W,H[,T]")] = ()
    """What is in a box: upper left corner, width, height."""
    residual: bool = True
    """Whether to write what no query took: residual.wav."""
    remove: FlagCreatePairsOff[bool] = False
    """Also write without.wav, the mixture without the queries."""
    format: Literal["wav", "flac"] = "wav"
    """wav is 32-bit float; flac is 24-bit, scaled by one shared gain if it would clip."""
    threshold: Annotated[float | None, arg(metavar="0..1")] = None
    """Below this presence a stem is flagged as absent; the default is the model's own."""
    segment_seconds: Annotated[float | None, arg(name="segment", metavar="SECONDS")] = None
    """Length separated at a time; longer takes more memory."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    exclusive: bool = True
    """Whether several queries share the sound out among themselves, or each gets what it would get if asked alone."""
    allow_truncated: FlagCreatePairsOff[bool] = False
    """Go on when more than 1 % of a file cannot be decoded."""

    def __post_init__(self) -> None:
        """Refuse a command without a query, files in the place of words, and numbers out of range."""
        for query in self.queries:
            suffix = Path(query).suffix.lower()
            if suffix in IMAGE_SUFFIXES:
                raise QueryError(f"query {query!r} is a picture's file name: give each picture with --image of its own")
            if suffix in MEDIA_SUFFIXES:
                raise QueryError(
                    f"query {query!r} is a sound or video file's name: give further files with --also, after the "
                    "queries"
                )
        if not (self.queries or self.image or self.video or self.region or self.box):
            raise QueryError(
                'nothing to separate: name a sound in words, as in "violin", or give --image, --video, --region or '
                "--box"
            )
        require_between(0, 1, threshold=self.threshold)
        require_positive(segment=self.segment_seconds)

    @property
    def inputs(self) -> tuple[Path, ...]:
        """INPUT and everything given by --also, in the order given."""
        return (self.input, *(path for group in self.also for path in group))


def run(arguments: Arguments) -> int:
    """Separate every input; returns the exit code: 0 all done, 1 some inputs skipped, 2 nothing done."""
    from trisep.queries.embed import queries_from_options
    from trisep.separation.batch import separate_batch
    from trisep.separation.separator import OutputOptions, SeparationOptions, load
    from trisep.separation.streaming import Progress

    queries = queries_from_options(arguments.queries, arguments.image, arguments.region, arguments.box, arguments.video)
    options = SeparationOptions(
        threshold=arguments.threshold,
        segment_seconds=arguments.segment_seconds,
        allow_truncated=arguments.allow_truncated,
        exclusive=arguments.exclusive,
    )
    separator = load(arguments.model, device=arguments.device)
    outputs = OutputOptions(residual=arguments.residual, remove=arguments.remove, format=arguments.format)

    def separate(path: Path, folder: Path, progress: Progress) -> None:
        """Separate one input into its folder."""
        separator.separate_to_files(path, queries, folder, options, outputs, progress=progress)

    return separate_batch(arguments.inputs, arguments.out, separate)
