"""`trisep separate`: media and queries → one sound file per query, and the rest."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg
from tyro.constructors import PrimitiveConstructorSpec

from trisep.commands import Device, bits_per_second, require_between, require_not_negative, require_positive
from trisep.errors import ConfigError, QueryError
from trisep.media import IMAGE_SUFFIXES, MEDIA_SUFFIXES, SoundFormat, SoundSubtype
from trisep.media.times import read_seconds
from trisep.separation import Precision

_SECONDS: PrimitiveConstructorSpec[float | None] = PrimitiveConstructorSpec(
    nargs=1,
    metavar="SECONDS",
    instance_from_str=lambda words: read_seconds(words[0]),
    is_instance=lambda value: value is None or isinstance(value, float),
    str_from_instance=lambda value: ["" if value is None else f"{value:g}"],
)
"""How a time is read, which may be written with minutes: 1:23.5."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Separate what you name or point at; each gets a sound file, and the rest gets one.

    For example:

        trisep separate clip.mp4 "violin" "rooster barking" --out stems
        trisep separate clip.mp4 --image photo.jpg --region 0.25,0.5
        trisep separate clip.mp4 "violin and piano" --not "applause"
        trisep separate clip.mp4 --when 3.0-4.5
        trisep separate clip.mp4 --like siren.wav
        trisep separate talk.mp4 "traffic" --remove --into-video
        trisep separate recordings/ "bird singing" --format flac
    """

    input: Annotated[Positional[Path], arg(metavar="INPUT")]
    """A video or sound file, or a folder of them; - is standard input."""
    queries: Annotated[
        Positional[tuple[str, ...]], arg(name="query", metavar="[QUERY ...]", help_behavior_hint="")
    ] = ()
    """A sound to separate, in words; each query gets a file of its own."""
    also: Annotated[UseAppendAction[tuple[tuple[Path, ...], ...]], arg(metavar="FILE ...")] = ()
    """More files or folders, which are separated by the same queries."""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder for the sounds and report.json; it is made if absent. The default is separated/INPUT/, without suffix."""
    model: Annotated[str, arg(metavar="NAME|PATH")] = "default"
    """A model, by name (see: trisep models), checkpoint folder or hf:OWNER/NAME."""
    image: UseAppendAction[tuple[Path, ...]] = ()
    """A photograph of what to separate."""
    video: UseAppendAction[tuple[Path, ...]] = ()
    """A video that shows what to separate; INPUT itself means everything in its picture."""
    region: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="X,Y[,T]")] = ()
    """What is at a point of the picture, in shares from the upper left corner or pixels (320px,180px); T in seconds."""
    box: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="X,Y,W,H[,T]")] = ()
    """What is in a box of the picture: upper left corner, width and height, in the same units; T in seconds."""
    like: Annotated[UseAppendAction[tuple[Path, ...]], arg(metavar="SOUND")] = ()
    """A sound like the one to separate; its first 8 seconds are listened to."""
    when: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="FROM-TO")] = ()
    """What is heard in a span of INPUT, such as 3.0-4.5 or 1:03-1:04.5; best where it is heard alone. Of a longer one
    the first 8 seconds are listened to."""
    negatives: Annotated[UseAppendAction[tuple[str, ...]], arg(name="not", metavar="QUERY")] = ()
    """A sound that is not wanted, in words: it takes its share from the queries, and is not written."""
    all_of: FlagCreatePairsOff[bool] = False
    """Separate all queries into one stem; "violin and piano" does so with words."""
    stream: int | None = None
    """Which track of sound of INPUT, counted from 0; by default the one flagged so, else the first that plays."""
    start_seconds: Annotated[float, _SECONDS, arg(name="start", metavar="SECONDS")] = 0.0
    """Begin there in INPUT; minutes as in 1:23.5."""
    duration_seconds: Annotated[float | None, _SECONDS, arg(name="duration", metavar="SECONDS")] = None
    """Separate so much of INPUT; the default is all."""
    recursive: FlagCreatePairsOff[bool] = False
    """Take the files of all folders below a folder, too."""
    residual: bool = True
    """Whether to write residual.wav, the mixture minus all stems."""
    remove: FlagCreatePairsOff[bool] = False
    """Also write without.wav, the mixture without the queries."""
    strength: Annotated[float, arg(metavar="0..1")] = 1.0
    """How much of the queries --remove takes away; 0.9 leaves a tenth (-20 dB), which hides traces of the removal."""
    into_video: FlagCreatePairsOff[bool] = False
    """Also write INPUT's video with each stem (with --remove, the rest too) as its sound; its picture is untouched."""
    format: SoundFormat = "wav"
    """Form of the sounds; m4a holds AAC, opus and ogg hold Opus. All but wav get one gain if a sound would clip."""
    subtype: SoundSubtype | None = None
    """How wav (float32 is the default) and flac (int24) keep samples."""
    audio_bitrate: Annotated[str | None, arg(metavar="RATE")] = None
    """Bits per second of a lossy sound, such as 192k; the default is 128k a channel."""
    threshold: Annotated[float | None, arg(metavar="0..1")] = None
    """Presence below which a stem is reported as absent; the default is the model's own."""
    segment_seconds: Annotated[float | None, arg(name="segment", metavar="SECONDS")] = None
    """Length that is separated at a time; a longer one takes more memory."""
    device: Device = "auto"
    """Device to compute on; auto takes a GPU if there is one."""
    precision: Precision = "auto"
    """Numbers that the network computes in; auto is bf16 where the processor is faster at it, else fp32."""
    exclusive: bool = True
    """Whether the sound is divided among the queries, or each query is separated as if it were the only one."""
    allow_truncated: FlagCreatePairsOff[bool] = False
    """Continue when more than 1 % of a file, INPUT or a sound of --like, cannot be decoded."""
    cluster: Annotated[str | None, arg(metavar="local|auto|HOST:PORT")] = None
    """Separate several inputs on Ray, on this machine or others that see the same files; see docs/scale.md."""
    workers: int | None = None
    """Number of processes with --cluster local; the default is one per processor."""
    quiet: FlagCreatePairsOff[bool] = False
    """Print nothing but errors."""
    json: FlagCreatePairsOff[bool] = False
    """Print the report as JSON in place of a table; warnings stay on stderr."""

    def __post_init__(self) -> None:
        """Raise QueryError without a query or for a file in place of words, ConfigError for numbers out of range."""
        _refuse_repeated(self.queries, self.negatives)
        for query in self.queries:
            suffix = Path(query).suffix.lower()
            if suffix in IMAGE_SUFFIXES:
                raise QueryError(f"query {query!r} is a picture's file name: give each picture with --image of its own")
            if suffix in MEDIA_SUFFIXES:
                raise QueryError(
                    f"query {query!r} is a sound or video file's name: give further files with --also, after the "
                    "queries"
                )
        if not (self.queries or self.image or self.video or self.region or self.box or self.like or self.when):
            raise QueryError(
                'nothing to separate: name a sound in words, as in "violin", or give --image, --video, --region, '
                "--box, --like or --when"
            )
        if self.quiet and self.json:
            raise ConfigError("--quiet prints nothing and --json the report: give one of them")
        if self.workers is not None and self.cluster != "local":
            raise ConfigError("--workers counts the processes of --cluster local; leave it out, or give both")
        require_between(0, 1, threshold=self.threshold)
        require_positive(segment=self.segment_seconds, duration=self.duration_seconds, workers=self.workers)
        require_not_negative(stream=self.stream, start=self.start_seconds)

    @property
    def inputs(self) -> tuple[Path, ...]:
        """INPUT and everything given by --also, in the order given."""
        return (self.input, *(path for group in self.also for path in group))


def _refuse_repeated(queries: Sequence[str], negatives: Sequence[str]) -> None:
    """Raise QueryError for a query that is given twice, whatever its capitals, or that is not wanted, too."""
    said = Counter(" ".join(query.split()).casefold() for query in queries)
    unwanted = {" ".join(query.split()).casefold() for query in negatives}
    for query in queries:
        words = " ".join(query.split()).casefold()
        if said[words] > 1:
            raise QueryError(
                f"query {query!r} is given twice: queries share the sound out among themselves, so give each once"
            )
        if words in unwanted:
            raise QueryError(f"query {query!r} is asked for and not wanted (--not): leave one of them out")


def run(arguments: Arguments) -> int:
    """Separate every input; returns the exit code: 0 all done, 1 some inputs skipped, 2 nothing done."""
    from functools import partial

    from trisep.media.memory import share_freed
    from trisep.queries.embed import all_of, queries_from_options
    from trisep.separation.batch import Show, separate_batch
    from trisep.separation.elsewhere import SeparationJob, outcomes_elsewhere
    from trisep.separation.options import OutputOptions, SeparationOptions

    share_freed()
    queries = queries_from_options(
        arguments.queries,
        images=arguments.image,
        regions=arguments.region,
        boxes=arguments.box,
        videos=arguments.video,
        sounds=arguments.like,
        spans=arguments.when,
    )
    queries = [all_of(queries)] if arguments.all_of else queries
    options = SeparationOptions(
        stream=arguments.stream,
        start_seconds=arguments.start_seconds,
        duration_seconds=arguments.duration_seconds,
        negatives=arguments.negatives,
        threshold=arguments.threshold,
        segment_seconds=arguments.segment_seconds,
        allow_truncated=arguments.allow_truncated,
        exclusive=arguments.exclusive,
        precision=arguments.precision,
    )
    outputs = OutputOptions(
        residual=arguments.residual,
        strength=arguments.strength,
        remove=arguments.remove,
        into_video=arguments.into_video,
        format=arguments.format,
        subtype=arguments.subtype,
        audio_bitrate=None if arguments.audio_bitrate is None else bits_per_second(arguments.audio_bitrate),
    )
    job = SeparationJob(
        model=arguments.model, device=arguments.device, queries=tuple(queries), options=options, outputs=outputs
    )
    _ = job.separator  # what is wrong with the model is said before any file is read
    elsewhere = None if arguments.cluster is None else partial(outcomes_elsewhere, job=job, run=_cluster(arguments))
    show: Show = "nothing" if arguments.quiet else "json" if arguments.json else "table"
    return separate_batch(
        arguments.inputs, arguments.out, job, show=show, recursive=arguments.recursive, elsewhere=elsewhere
    )


def _cluster(arguments: Arguments) -> Any:
    """Return what runs work on the cluster."""
    from functools import partial

    from trisep.store.cluster import run_on_cluster

    assert arguments.cluster is not None
    return partial(run_on_cluster, address=arguments.cluster, num_workers=arguments.workers)
