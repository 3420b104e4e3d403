"""`trisep localize`: a video and queries → heat maps over its frames."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

from trisep.commands import Device, require_between
from trisep.errors import QueryError
from trisep.media import FPS_RANGE
from trisep.separation import TEMPERATURE_RANGE, LocalizeBy


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Show where in a video's picture something is: a heat map over its frames, of one colour for each query.

    For example:

        trisep localize clip.mp4 "violin" --out heat.mp4
        trisep localize clip.mp4 "violin" "rooster" --into-video
        trisep localize clip.mp4 "violin" --out heat.png
        trisep localize clip.mp4 "violin" --by audio --model run/model --out heat.mp4 --arrays
    """

    input: Annotated[Positional[Path], arg(metavar="VIDEO")]
    """A video."""
    queries: Annotated[
        Positional[tuple[str, ...]], arg(name="query", metavar="[QUERY ...]", help_behavior_hint="")
    ] = ()
    """What to look for, in words; with --by caption none."""
    out: Annotated[Path | None, arg(metavar="FILE|DIR")] = None
    """A video, beside which a picture of the centre frame is written; a picture (.png) only; or a folder for both. The
    default is heat.mp4."""
    into_video: FlagCreatePairsOff[bool] = False
    """Keep everything of VIDEO but the pixels: times of the frames, all sounds, subtitles, chapters, the container."""
    by: LocalizeBy = "text"
    """What to look for: the words, the sound that they separate, or the latent caption of the centre frame."""
    model: Annotated[str, arg(metavar="NAME|PATH")] = "default"
    """A model, by name (see: trisep models), checkpoint folder or hf:OWNER/NAME; its encoder embeds the picture."""
    fps: float = 4.0
    """Heat maps computed per second of video; the overlay is interpolated between them."""
    temperature: float = 0.01
    """Temperature of the softmax over regions: the lower it is, the more the best region stands out."""
    arrays: FlagCreatePairsOff[bool] = False
    """Also write the maps and their times as a NumPy archive (.npz)."""
    device: Device = "auto"
    """Device to compute on; auto takes a GPU if there is one."""
    allow_truncated: FlagCreatePairsOff[bool] = False
    """Continue when more than 1 % of the sound cannot be decoded."""

    def __post_init__(self) -> None:
        """Raise QueryError for a query that is missing or of no use, and ConfigError for numbers out of range."""
        if not self.queries and self.by != "caption":
            raise QueryError('nothing to look for: name it in words, as in "violin"')
        if self.queries and self.by == "caption":
            raise QueryError(
                f"--by caption looks for what the centre frame shows, not for {self.queries[0]!r}: leave one out"
            )
        require_between(*FPS_RANGE, fps=self.fps)
        require_between(*TEMPERATURE_RANGE, temperature=self.temperature)


def run(arguments: Arguments) -> int:
    """Localise the queries, write the overlays and say where they are, or that they are not understood; returns 0."""
    import sys

    from trisep.errors import shown
    from trisep.separation.localize import localize, output_files, summary_lines, warning_lines, write_outputs

    files = output_files(
        arguments.out, source=arguments.input, arrays=arguments.arrays, into_video=arguments.into_video
    )
    found = localize(
        arguments.input,
        arguments.queries,
        by=arguments.by,
        model=arguments.model,
        fps=arguments.fps,
        temperature=arguments.temperature,
        device=arguments.device,
        allow_truncated=arguments.allow_truncated,
    )
    write_outputs(
        found, arguments.input, files, into_video=arguments.into_video, allow_truncated=arguments.allow_truncated
    )
    print("\n".join(summary_lines(found, files)))
    for line in warning_lines(found):
        print(f"trisep: warning: {shown(line)}", file=sys.stderr)
    return 0
