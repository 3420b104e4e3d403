"""The state of a listed clip's file. This file looks at one clip; it knows no process, cache or table.

The checks come in this order, and the first that fails names the state:

    missing      there is a file of the name of the clip
    unreadable   it can be opened, and its sound decoded but for 1 %
    no sound, no picture
    too short    there is 90 % of the listed stretch, and at least `min_seconds`
    silent       the RMS of the mono sound is at least `silence_db`
    still the picture moves: of five frames, evenly spread, 64 pixels on the short side, one differs from the first by a
    mean absolute difference above `still_level`; compression alone changes a still by a few tenths of a grey level
    duplicate    it is the first usable clip of its name and of its content (SHA-256 of the file and stretch)

The thresholds are ours; the papers name none.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trisep.datasets.clip_list import ListedClip
from trisep.errors import ConfigError, MediaError
from trisep.media.audio import read_facts, stream_audio
from trisep.media.files import is_utf8, sha256_of
from trisep.media.heard import HeardMeter
from trisep.media.probe import MediaInfo, probe
from trisep.media.video import read_frames

STATES = ("usable", "missing", "unreadable", "no sound", "no picture", "too short", "silent", "still", "duplicate")
"""All states of a listed clip."""
_WHOLE_TOLERANCE_SECONDS = 1.0
_NEEDED_SHARE = 0.9
_NUM_FRAMES = 5
_FRAME_SHORT_SIDE = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckSettings:
    """The thresholds of the checks."""

    needs_picture: bool = True
    min_seconds: float = 1.0
    """Of sound."""
    silence_db: float = -60.0
    """RMS in dBFS."""
    still_level: float = 1.0
    """Mean absolute difference of grey levels, 0 to 255."""

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        for option, value, is_right, expected in (
            ("--min-seconds", self.min_seconds, self.min_seconds > 0, "above 0"),
            ("--silence-db", self.silence_db, self.silence_db <= 0, "at most 0"),
            ("--still-level", self.still_level, 0 <= self.still_level <= 255, "between 0 and 255"),
        ):
            if not is_right:
                raise ConfigError(f"{option} must be {expected}, got {value}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipCheck:
    """The result of the checks of one clip."""

    state: str
    """One of `STATES`."""
    detail: str = ""
    """The reason, as text for the report; empty for a usable clip."""
    source: str | None = None
    """The file, relative to the media folder; None when it is missing."""
    start_seconds: float | None = None
    """Start of the clip in the file; None when the file is the clip."""
    end_seconds: float | None = None
    duration_seconds: float | None = None
    """Duration of the decoded sound."""
    level_db: float | None = None
    """RMS of the mono sound in dBFS; None when silent to the bit or never decoded."""
    motion: float | None = None
    """The largest mean absolute difference between frames, in grey levels."""
    sha256: str | None = None
    """SHA-256 of the whole file."""


def check_clip(media: Path, source: str, clip: ListedClip, *, is_cut: bool, settings: CheckSettings) -> ClipCheck:
    """Decode the file of a clip and determine its state; a defect of the file is never raised as an error.

    Args:
        media: the media folder.
        source: the clip's file, relative to it.
        clip: the clip as the metadata list it.
        is_cut: the file's name says that it holds the stretch alone. Where it does not, a file no more than 1 s longer
            than the stretch is taken to be the stretch, a longer one to be the whole recording.
        settings: thresholds.
    """
    path = media / source
    check = ClipCheck(state="usable", source=source)
    if not is_utf8(source):
        return replace(check, state="unreadable", detail="its name is not valid UTF-8, as lists are; rename it")
    try:
        check = replace(check, sha256=sha256_of(path))
        info = probe(path)
        if not info.audio:
            return replace(check, state="no sound", detail="the file has no sound")
        if settings.needs_picture and not info.video:
            return replace(check, state="no picture", detail="the file has no picture")
        if (
            not is_cut
            and clip.listed_seconds is not None
            and info.duration_seconds > clip.listed_seconds + _WHOLE_TOLERANCE_SECONDS
        ):
            check = replace(check, start_seconds=clip.start_seconds, end_seconds=clip.end_seconds)
        return _judge(info, clip, check, settings)
    except MediaError as error:
        return replace(check, state="unreadable", detail=str(error).replace(f"{path}: ", ""))
    except OSError as error:
        return replace(check, state="unreadable", detail=f"cannot be read ({error.strerror})")
    # One file must never stop a run over many: any error of a decoder is counted and named, not raised.
    except Exception as error:
        return replace(check, state="unreadable", detail=f"{type(error).__name__}: {error}")


def _judge(info: MediaInfo, clip: ListedClip, check: ClipCheck, settings: CheckSettings) -> ClipCheck:
    """Check length, level and motion of a file that can be opened."""
    seconds, level_db = _measure_sound(info, check)
    check = replace(
        check, duration_seconds=round(seconds, 3), level_db=round(level_db, 2) if math.isfinite(level_db) else None
    )
    needed_seconds = max(settings.min_seconds, _NEEDED_SHARE * (clip.listed_seconds or 0.0))
    if seconds < needed_seconds:
        return replace(
            check, state="too short", detail=f"{seconds:.2f} s of sound, at least {needed_seconds:g} s are needed"
        )
    if level_db < settings.silence_db:
        return replace(
            check, state="silent", detail=f"{level_db:.1f} dBFS, at least {settings.silence_db:g} dBFS are needed"
        )
    if not settings.needs_picture:
        return check
    motion = round(_measure_motion(info.path, check.start_seconds or 0.0, seconds), 3)
    check = replace(check, motion=motion)
    if motion <= settings.still_level:
        return replace(
            check,
            state="still",
            detail=f"frames differ by {motion:g} grey levels, above {settings.still_level:g} is needed",
        )
    return check


def _measure_sound(info: MediaInfo, check: ClipCheck) -> tuple[float, float]:
    """Measure the length in seconds of the clip's mono sound, and the RMS in dBFS (−inf for none) of what is heard."""
    start = check.start_seconds or 0.0
    wanted = None if check.end_seconds is None else check.end_seconds - start
    rate = read_facts(info.path, None).sample_rate_hz
    num_samples, meter = 0, HeardMeter(rate)
    for block in stream_audio(info.path, mono=True, start_seconds=start, duration_seconds=wanted):
        num_samples += block.shape[1]
        meter.update(block[0])
    meter.finish()
    return num_samples / rate, meter.level_db


def _measure_motion(path: Path, start_seconds: float, seconds: float) -> float:
    """Measure the largest mean absolute difference, in grey levels, between the first of a few frames and another."""
    times = [start_seconds + seconds * (number + 0.5) / _NUM_FRAMES for number in range(_NUM_FRAMES)]
    frames = read_frames(path, times, short_side=_FRAME_SHORT_SIDE).astype(np.float32)
    return float(np.abs(frames[1:] - frames[0]).mean(axis=(1, 2, 3)).max())


def mark_duplicates(clips: Sequence[ListedClip], checks: Sequence[ClipCheck]) -> list[ClipCheck]:
    """Mark every usable clip that repeats the name or content of an earlier one as a duplicate of it."""
    first_of: dict[object, str] = {}
    marked = []
    for clip, check in zip(clips, checks, strict=True):
        identities = (clip.key, (check.sha256, check.start_seconds, check.end_seconds))
        if check.state == "usable":
            known = [first_of[identity] for identity in identities if identity in first_of]
            if known:
                what = "listed twice" if known[0] == clip.key else f"the same file as {known[0]}"
                check = replace(check, state="duplicate", detail=what)
            else:
                first_of.update(dict.fromkeys(identities, clip.key))
        marked.append(check)
    return marked


def count_states(clips: Iterable[ListedClip], checks: Iterable[ClipCheck]) -> dict[tuple[str, str], Counter[str]]:
    """Count the clips in each state, by (split, class), sorted.

    A clip with several labels counts under all of them joined by " + ".
    """
    counts: dict[tuple[str, str], Counter[str]] = {}
    for clip, check in zip(clips, checks, strict=True):
        counts.setdefault((clip.split, " + ".join(clip.labels)), Counter())[check.state] += 1
    return dict(sorted(counts.items()))
