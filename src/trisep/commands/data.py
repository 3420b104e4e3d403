"""`trisep data`: a published data set → which of its clips exist and are usable."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from trisep.commands import end_of_one_result, require_positive
from trisep.datasets import DataSetName, SplitRule


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Check every clip that a data set lists: which files exist, which are usable, and what is wrong with the others.

    For example:

        trisep data status music --metadata MUSIC_solo_videos.json MUSIC_duet_videos.json --media videos --out lists
        trisep data status folder --media my_videos
        trisep prepare videos --clips lists/train.csv --out store

    After an interruption, run the same command again to continue. Nothing is downloaded.
    """

    action: Annotated[Positional[Literal["status"]], arg(metavar="status")]
    """What to do."""
    name: Annotated[Positional[DataSetName], arg(metavar="NAME")]
    """Data set: music, music21, solos, audioset, vggsound, vggsound-clean, esc50, or folder for videos of your own."""
    media: Annotated[Path, arg(metavar="DIR")]
    """Folder of the media files; all its subfolders are searched."""
    metadata: Annotated[tuple[Path, ...], arg(metavar="FILE ...")] = ()
    """The data set's files as published; see docs/datasets.md."""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder for the lists of usable clips, one for each split, their labels, and the report."""
    rule: SplitRule | None = None
    """How music, music21 and solos are split; the default is the split of the papers."""
    command: Annotated[str | None, arg(metavar="TEMPLATE")] = None
    """Your own command for each missing clip, with {id}, {start}, {end} (seconds) and {out} (the file to write)."""
    min_seconds: Annotated[float, arg(metavar="SECONDS")] = 1.0
    """Clips with less sound than this count as too short."""
    silence_db: Annotated[float, arg(metavar="DBFS")] = -60.0
    """Clips below this level count as silent."""
    still_level: Annotated[float, arg(metavar="0..255")] = 1.0
    """Clips whose frames differ by no more than this many grey levels count as still."""
    workers: int | None = None
    """Number of processes; the default is one per processor."""
    json: FlagCreatePairsOff[bool] = False
    """Print the report as JSON."""
    strict: FlagCreatePairsOff[bool] = False
    """End with exit code 1 where a listed clip is not usable; the lists are written all the same."""

    def __post_init__(self) -> None:
        """Raise ConfigError for numbers out of range."""
        require_positive(workers=self.workers)


def run(arguments: Arguments) -> int:
    """Check the clips and print the report; returns 0, or with --strict 1 when some listed clip is not usable."""
    import json

    from rich.console import Console

    from trisep.datasets.availability import check_data_set, report_tables, require_usable

    console = Console(stderr=arguments.json)
    report = check_data_set(
        arguments.name,
        arguments.media,
        metadata=arguments.metadata,
        out=arguments.out,
        rule=arguments.rule,
        command=arguments.command,
        min_seconds=arguments.min_seconds,
        silence_db=arguments.silence_db,
        still_level=arguments.still_level,
        num_workers=arguments.workers,
        console=console,
    )
    if arguments.json:
        print(json.dumps(report, indent=1))
    else:
        console.print(*report_tables(report, arguments.out), sep="\n")
    what = f"of {sum(report['states'].values())} listed clips are not usable"
    return end_of_one_result(require_usable(report, arguments.media), what, strict=arguments.strict)
