"""The files of stems: their names, levels over time, sounds, and their entries in report.json.

The files of one separation are written in a hidden folder inside the output folder, and are moved out of it together
once all of them are complete. This module runs no network.
"""

import math
import shutil
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Float32

from trisep.errors import MediaError
from trisep.media.audio_writer import AudioWriter
from trisep.media.files import discard, move_into_place, require_place, temporary_name, write_failure, write_json
from trisep.media.lock import locked
from trisep.media.remux import VideoForm, replace_audio
from trisep.media.sound_form import SoundForm, decibels, gain_to_full_scale
from trisep.queries.embed import unused_name
from trisep.separation.owner import earlier_files
from trisep.types import Stem

SCHEMA = 1
RESERVED_NAMES = frozenset({"residual", "without", "report"})
_ACTIVITY_HOP_SECONDS = 0.1
_LONGEST_NAME_BYTES = 200
_DOUBTED_PRESENCE = 0.05
"""The most that presence can be for a query that is not understood."""


def output_name(query: str, taken: Collection[str] = ()) -> str:
    """Return the file name, without suffix, for a query.

    The text is brought to NFC and lower case; letters and digits stay, every other run of characters becomes `_`, and
    the ends are trimmed; `query` is used if nothing is left. A name that is reserved (residual, without, report) or in
    `taken` gets `_2`, `_3` … A name has at most 200 bytes.

    Example:
        >>> output_name("Rooster, barking!"), output_name("residual"), output_name("violin", {"violin"})
        ('rooster_barking', 'residual_2', 'violin_2')
    """
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", query).lower())
    # A combining mark belongs to its letter; if it became `_`, words of several scripts would be torn apart.
    kept = "".join(
        letter if letter.isalnum() or unicodedata.category(letter).startswith("M") else " " for letter in text
    )
    name = "_".join(kept.split()).encode("utf-8")[:_LONGEST_NAME_BYTES].decode("utf-8", "ignore") or "query"
    return unused_name(name, {*RESERVED_NAMES, *taken})


def output_names(queries: Sequence[str]) -> list[str]:
    """Return one file name per query, all different."""
    names: list[str] = []
    for query in queries:
        names.append(output_name(query, names))
    return names


class LevelMeter:
    """The level of a sound as a whole and over time, measured block by block. Memory grows by one number per 0.1 s."""

    def __init__(self, sample_rate_hz: int) -> None:
        """Start before the first sample."""
        self._hop_samples = max(1, round(_ACTIVITY_HOP_SECONDS * sample_rate_hz))
        self.hop_seconds = self._hop_samples / sample_rate_hz
        """Time from one value of `activity` to the next, in seconds."""
        self._num_samples = 0
        self._energy: list[float] = []

    def update(self, block: Float32[np.ndarray, "C n"]) -> None:
        """Measure the next samples."""
        if block.shape[1] == 0:
            return
        power = np.square(block, dtype=np.float64).mean(axis=0)
        offset = self._num_samples % self._hop_samples
        starts = np.arange(-offset, block.shape[1], self._hop_samples).clip(0)
        sums = np.add.reduceat(power, starts)
        if offset:
            self._energy[-1] += float(sums[0])
            sums = sums[1:]
        self._energy.extend(sums.tolist())
        self._num_samples += block.shape[1]

    @property
    def level_db(self) -> float:
        """RMS over all channels in dBFS; −inf for digital silence."""
        energy = math.fsum(self._energy)
        return 10 * math.log10(energy / self._num_samples) if energy > 0 else -math.inf

    @property
    def activity(self) -> tuple[float, ...]:
        """RMS per hop, linear full scale; the last hop may be shorter."""
        lengths = np.full(len(self._energy), self._hop_samples)
        if len(lengths):
            lengths[-1] = self._num_samples - self._hop_samples * (len(lengths) - 1)
        return tuple(math.sqrt(energy / length) for energy, length in zip(self._energy, lengths, strict=True))


def share_of(level_db: float, mixture_level_db: float) -> float | None:
    """Return the energy of a part over that of the mixture, None for a silent mixture."""
    return round(10 ** ((level_db - mixture_level_db) / 10), 4) if math.isfinite(mixture_level_db) else None


def stem_entry(stem: Stem, file: str) -> dict[str, Any]:
    """Return what report.json says of a stem. A level of −inf becomes null, since JSON has no infinity."""
    return {
        "query": stem.query,
        "file": file,
        "level_db": round(stem.level_db, 3) if math.isfinite(stem.level_db) else None,
        "presence": round(stem.presence, 4),
        "present": stem.present,
        "activity": {
            "hop_seconds": stem.activity_hop_seconds,
            "values": [float(f"{value:.4g}") for value in stem.activity],
        },
    }


def doubted(stems: Sequence[Stem], reasons: Sequence[str | None]) -> list[Stem]:
    """Return the stems; those of queries that are not understood count as absent."""
    return [
        stem if reason is None else replace(stem, presence=min(stem.presence, _DOUBTED_PRESENCE), present=False)
        for stem, reason in zip(stems, reasons, strict=True)
    ]


class OutputError(MediaError):
    """The output folder cannot be written: this would fail for every input, so a batch stops."""


class StemFiles:
    """Sounds of one length, written side by side as `DIR/NAME.wav`, or in another form.

    A peak is known only at the end, so files of floats are written first; `finish` makes the other forms of them, and
    `write_videos` videos. If the highest peak lies above full scale, all of these get the gain that brings it there.
    Meanwhile this takes 4 bytes more per sample on the disk.

        with StemFiles(folder, ["violin", "residual"], SoundForm(), sample_rate_hz=48000, num_channels=2) as files:
            files.write({"violin": block, "residual": rest})
            gain_db = files.finish()
            files.write_json("report.json", {"gain_db": gain_db})

    Raises OutputError, with a text of one line, when the folder cannot be written; then nothing is left behind.
    """

    def __init__(
        self,
        folder: Path,
        names: list[str],
        form: SoundForm,
        *,
        sample_rate_hz: int,
        num_channels: int,
        layout: str | None = None,
        source: Path | None = None,
        sha256: str | None = None,
        replaces: bool = False,
        video: VideoForm | None = None,
    ) -> None:
        """Store what is to be written; no file is touched before the `with` block.

        `source` is the input or, of a sound in memory, None, and `sha256` its hash: to it the folder belongs (see
        owner.py), unless `replaces`; `video` is where `write_videos` puts sounds.
        """
        try:
            form.require(sample_rate_hz=sample_rate_hz, num_channels=num_channels)
        except MediaError as error:
            raise MediaError(f"{source}: {error}" if source is not None else str(error)) from error
        self.folder = Path(folder)
        self._video = video
        self.names = {name: f"{name}.{form.format}" for name in names}
        """File name of each sound."""
        self._rate_hz, self._num_channels, self._layout, self._form = sample_rate_hz, num_channels, layout, form
        self._writers: dict[str, AudioWriter] = {}
        self._stack, self._lock = ExitStack(), ExitStack()
        self._made: list[Path] = []
        self._staging = self.folder / temporary_name(self.folder)
        self._floats = self._staging if form.keeps_everything else self._staging / "floats"
        self._finished = list(self.names.values())
        videos = [f"{name}{video.suffix}" for name in names] if video is not None else []
        self._planned = [*self._finished, *videos]
        self._earlier = earlier_files(self.folder, self._planned, source, sha256=sha256, replaces=replaces)

    def require_room(self, num_samples: int) -> None:
        """Raise OutputError unless the folder can be written, MediaError where it has no room for so many samples per
        channel: there may be room for another input.
        """
        try:
            require_place(self.folder)
        except MediaError as error:
            raise OutputError(str(error)) from error
        require_place(self.folder, 4 * num_samples * self._num_channels * len(self.names))

    def __enter__(self) -> "StemFiles":
        """Make the folders and open the files."""
        try:
            missing = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
            for path in reversed(missing):
                path.mkdir(exist_ok=True)
                self._made.append(path)
            self._lock.enter_context(locked(self.folder))
            self._floats.mkdir(parents=True)
            for name in self.names:
                writer = AudioWriter(
                    self._floats / f"{name}.wav",
                    sample_rate_hz=self._rate_hz,
                    num_channels=self._num_channels,
                    subtype="wav_float32",
                    layout=self._layout,
                )
                self._writers[name] = self._stack.enter_context(writer)
        except (OSError, MediaError) as error:
            self._remove()
            raise self._failure(error) from error
        return self

    def write(self, blocks: Mapping[str, Float32[np.ndarray, "C n"]]) -> None:
        """Append samples to every sound."""
        try:
            for name, block in blocks.items():
                self._writers[name].write(block)
        except MediaError as error:
            raise self._failure(error) from error

    def finish(self) -> float:
        """Complete the sounds; return their gain in dB (0 for floats)."""
        gain = 1.0 if self._form.keeps_everything else self.encoded_gain
        try:
            self._stack.close()
            if not self._form.keeps_everything:
                for name, file in self.names.items():
                    self._form.write(self._staging / file, self._floats / f"{name}.wav", gain=gain)
        except (OSError, MediaError) as error:
            raise self._failure(error) from error
        return decibels(gain)

    @property
    def encoded_gain(self) -> float:
        """Factor by which encoded sounds, those of videos among them, are lower than the floats, lest they clip."""
        return gain_to_full_scale(max((writer.peak for writer in self._writers.values()), default=0.0))

    def write_videos(self, names: Sequence[str], *, bits_per_second: int | None) -> dict[str, Any]:
        """Write, for some of the finished sounds, the video with that sound; return what report.json says of them."""
        form = self._video
        if form is None:
            return {}
        files = {name: f"{name}{form.suffix}" for name in names}
        try:
            for name, file in files.items():
                replace_audio(
                    form.path,
                    self._floats / f"{name}.wav",
                    self._staging / file,
                    gain=self.encoded_gain,
                    stream=form.stream,
                    bits_per_second=bits_per_second,
                )
        except (OSError, MediaError) as error:
            raise self._failure(error) from error
        self._finished += files.values()
        sound = {"sound": form.codec.title, "gain_db": decibels(self.encoded_gain)}
        return {"files": files, **sound, "left_out": list(form.left_out)}

    def replaced(self) -> list[str]:
        """Tell on one line which files of an earlier run go, since this run writes none of these names."""
        gone = sorted(set(self._earlier) - {*self._finished, *self._planned})
        is_are = "is" if len(gone) == 1 else "are"
        return [f"replaces an earlier run: {', '.join(gone)} {is_are} gone; --out keeps runs apart"] if gone else []

    def write_json(self, file: str, content: Any) -> None:
        """Write a report beside the sounds."""
        try:
            write_json(self._staging / file, content)
        except MediaError as error:
            raise self._failure(error) from error
        self._finished.append(file)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Move all files into place, or remove them when the body failed."""
        try:
            if kind is not None:
                self._stack.__exit__(kind, value, trace)
                return
            blocked = [file for file in self._finished if (self.folder / file).is_dir()]
            if blocked:
                raise IsADirectoryError(21, "Is a directory", str(self.folder / blocked[0]))
            for file in self._finished:
                move_into_place(self._staging / file, self.folder / file)
            for file in set(self._earlier) - set(self._finished):
                discard(self.folder / file)
            self._made.clear()
        except OSError as error:
            raise self._failure(error) from error
        finally:
            self._remove()

    def _failure(self, error: Exception) -> MediaError:
        """Return the error with the path of the output folder in place of the hidden folder."""
        if isinstance(error, OutputError):
            return error
        cause = error if isinstance(error, OSError) else error.__cause__
        if isinstance(cause, OSError):
            file = Path(str(cause.filename)).name if isinstance(cause, IsADirectoryError) and cause.filename else ""
            return OutputError(str(write_failure(self.folder / file if file else self.folder, cause)))
        message = str(error).replace(str(self._floats), str(self.folder))
        kind = MediaError if cause is None else OutputError
        return kind(message.replace(str(self._staging), str(self.folder)))

    def _remove(self) -> None:
        """Remove the hidden folder and, unless the outputs were completed, the folders made for them."""
        shutil.rmtree(self._staging, ignore_errors=True)
        self._lock.close()
        for path in reversed(self._made):
            try:
                path.rmdir()
            except OSError:
                return
