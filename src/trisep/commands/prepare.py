"""`trisep prepare`: a folder of videos → a clip store."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

from trisep.commands import end_of_one_result, require_between, require_positive
from trisep.errors import ConfigError
from trisep.media import FPS_RANGE


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Turn a folder of videos into a clip store for training; files that are not usable are skipped and counted.

    For example:

        trisep prepare my_videos --out store
        trisep prepare my_videos --out store --sample-rate-hz 11025 --workers 4
        trisep prepare my_videos --clips lists/train.csv --out store
        trisep prepare my_videos --out store --cluster auto

    After an interruption, run the same command again to continue.
    """

    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """Folder of videos; all its subfolders are searched."""
    out: Annotated[Path, arg(metavar="STORE")]
    """The clip store to write or to continue."""
    fps: float = 1.0
    """Pictures kept per second of video."""
    sample_rate_hz: Annotated[int, arg(metavar="HZ")] = 16000
    """Sample rate of the stored sound."""
    max_seconds: Annotated[float | None, arg(metavar="SECONDS")] = None
    """Use only this much of each file, from its start."""
    exclude: Annotated[Path | None, arg(metavar="LIST")] = None
    """A list of SHA-256 sums or paths of files to leave out."""
    clips: Annotated[tuple[Path, ...], arg(metavar="LIST ...")] = ()
    """Use only the files and stretches on these lists (see: trisep data)."""
    audio_only_ok: FlagCreatePairsOff[bool] = False
    """Keep sound without a picture, for off-screen noise."""
    files_per_shard: Annotated[int, arg(metavar="N")] = 128
    """Files of a shard, the portion of work that a process does and a machine of a cluster is given: fewer where they
    are long, a thousand or more where they are millions."""
    workers: int | None = None
    """Number of processes; the default is one per processor."""
    cluster: Annotated[str | None, arg(metavar="local|auto|HOST:PORT")] = None
    """Use Ray, on this machine or on a cluster whose machines see the same files; see docs/scale.md."""
    strict: FlagCreatePairsOff[bool] = False
    """End with exit code 1 where a file that --exclude does not name became no clip; the store is made all the same."""

    def __post_init__(self) -> None:
        """Raise ConfigError for numbers out of range, and for --workers with a cluster of other machines."""
        if self.workers is not None and self.cluster not in (None, "local"):
            raise ConfigError(
                f"--workers counts processes of this machine, and the cluster {self.cluster} has its own number; leave "
                "it out"
            )
        require_between(*FPS_RANGE, fps=self.fps)
        require_positive(
            sample_rate_hz=self.sample_rate_hz,
            max_seconds=self.max_seconds,
            files_per_shard=self.files_per_shard,
            workers=self.workers,
        )


def run(arguments: Arguments) -> int:
    """Prepare the store; returns 0, or with --strict 1 when some input became no clip."""
    from dataclasses import replace

    from rich.console import Console

    from trisep.store.layout import MANIFEST
    from trisep.store.prepare import PrepareSettings, prepare

    settings = PrepareSettings(
        frames_per_second=arguments.fps,
        sample_rate_hz=arguments.sample_rate_hz,
        max_seconds=arguments.max_seconds,
        exclude=arguments.exclude,
        clips=arguments.clips,
        audio_only_ok=arguments.audio_only_ok,
        files_per_shard=arguments.files_per_shard,
        cluster=arguments.cluster,
    )
    if arguments.workers is not None:
        settings = replace(settings, num_workers=arguments.workers)
    report = prepare(arguments.folder, arguments.out, settings, console=Console())
    what = f"of {report.num_inputs} inputs became no clip; {MANIFEST} of the store says why of each"
    return end_of_one_result(report.num_left_out, what, strict=arguments.strict)
