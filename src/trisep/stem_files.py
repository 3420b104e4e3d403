"""The files of one separation: written in a hidden folder beside their places, and moved there together once all are complete."""

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32

from trisep.errors import MediaError
from trisep.media.audio import stream_audio
from trisep.media.audio_writer import AudioWriter
from trisep.media.output import write_failure

OutputFormat = Literal["wav", "flac"]
_FLAC_CHANNELS = 8
_FULL_SCALE = 1.0 - 2.0**-23


class OutputError(MediaError):
    """The place of the outputs cannot be written: no input can change that, so a batch ends."""


class StemFiles:
    """Sounds of one length that grow side by side, as `DIR/<name>.wav` (32-bit float) or `.flac` (24-bit, one shared gain).

    flac: the peak is known only at the end, so float files are written first and converted in `finish`, all with the gain that brings the
    highest peak among them to full scale if it lies above it, else with none. Needs about 4 bytes per sample more on the disk meanwhile.

        with StemFiles(folder, ["violin", "residual"], sample_rate_hz=48000, num_channels=2, format="flac") as files:
            files.write({"violin": block, "residual": rest})
            gain_db = files.finish()
            files.write_json("report.json", {"gain_db": gain_db})

    Raises OutputError, one line, when the place cannot be written; then nothing is left behind.
    """

    def __init__(self, folder: Path, names: list[str], *, sample_rate_hz: int, num_channels: int, format: OutputFormat) -> None:
        """Take down what is to be written; nothing is touched before the `with` block."""
        if format == "flac" and num_channels > _FLAC_CHANNELS:
            raise MediaError(f"flac holds at most {_FLAC_CHANNELS} channels, this sound has {num_channels}; choose wav")
        self.folder = Path(folder)
        self.names = {name: f"{name}.{format}" for name in names}
        """File name of each sound."""
        self._rate_hz, self._num_channels, self._format = sample_rate_hz, num_channels, format
        self._writers: dict[str, AudioWriter] = {}
        self._stack = ExitStack()
        self._made: list[Path] = []
        self._staging = self.folder / f".trisep-{secrets.token_hex(8)}"
        self._finished = list(self.names.values())

    def __enter__(self) -> "StemFiles":
        """Make the folders and open the files."""
        try:
            missing = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
            for path in reversed(missing):
                path.mkdir(exist_ok=True)
                self._made.append(path)
            self._staging.mkdir()
            for name in self.names:
                writer = AudioWriter(
                    self._staging / f"{name}.wav", sample_rate_hz=self._rate_hz, num_channels=self._num_channels, subtype="wav_float32"
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
        """Complete the sounds; returns the shared gain in dB (0 for wav)."""
        peak = max((writer.peak for writer in self._writers.values()), default=0.0)
        gain = min(1.0, _FULL_SCALE / peak) if self._format == "flac" and peak > 0 else 1.0
        try:
            self._stack.close()
            if self._format == "flac":
                for name in self.names:
                    self._convert(name, gain)
        except (OSError, MediaError) as error:
            raise self._failure(error) from error
        return float(20 * np.log10(gain))

    def write_json(self, file: str, content: Any) -> None:
        """Write a report beside the sounds."""
        try:
            (self._staging / file).write_text(json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise self._failure(error) from error
        self._finished.append(file)

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """Move everything into place, or remove it when the body failed."""
        try:
            if kind is not None:
                self._stack.__exit__(kind, value, trace)
                return
            blocked = [file for file in self._finished if (self.folder / file).is_dir()]
            if blocked:
                raise IsADirectoryError(21, "Is a directory", str(self.folder / blocked[0]))
            for file in self._finished:
                os.replace(self._staging / file, self.folder / file)
            self._made.clear()
        except OSError as error:
            raise self._failure(error) from error
        finally:
            self._remove()

    def _convert(self, name: str, gain: float) -> None:
        """From the float file to flac."""
        source = self._staging / f"{name}.wav"
        with AudioWriter(
            self._staging / self.names[name], sample_rate_hz=self._rate_hz, num_channels=self._num_channels, subtype="flac_int24"
        ) as writer:
            for block in stream_audio(source):
                writer.write(block * np.float32(gain))
        source.unlink()

    def _failure(self, error: Exception) -> MediaError:
        """The error with the name of the place that was asked for, not of the hidden one."""
        if isinstance(error, OutputError):
            return error
        cause = error if isinstance(error, OSError) else error.__cause__
        if isinstance(cause, OSError):
            file = Path(str(cause.filename)).name if isinstance(cause, IsADirectoryError) and cause.filename else ""
            return OutputError(str(write_failure(self.folder / file if file else self.folder, cause)))
        return OutputError(str(error).replace(str(self._staging), str(self.folder)))

    def _remove(self) -> None:
        """Remove the hidden folder, and folders made for outputs that never came."""
        shutil.rmtree(self._staging, ignore_errors=True)
        for path in reversed(self._made):
            try:
                path.rmdir()
            except OSError:
                return


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file under a temporary name and move it into place; OutputError when the place cannot be written."""
    temporary = path.with_name(f".trisep-{secrets.token_hex(8)}.json")
    try:
        temporary.write_text(json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(str(write_failure(path, error))) from error
