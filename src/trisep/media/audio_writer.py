"""Sound into files: wav with 32-bit floats or 24-bit integers, and flac with 24-bit integers, block by block."""

import os
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, get_args

import numpy as np
import soundfile
from jaxtyping import Float32

from trisep.errors import MediaError
from trisep.media.output import discard, temporary_beside, write_failure
from trisep.media.wav import quantize_int24, wav_bytes, wav_header
from trisep.types import Audio

AudioSubtype = Literal["wav_float32", "wav_int24", "flac_int24"]

_FLAC_MAX_CHANNELS = 8


class AudioWriter:
    """Write a sound block by block; the file appears under its name only when the `with` block ends well.

    Float files keep values beyond full scale. Integer files never wrap: a block that exceeds full scale is a MediaError, so
    the caller brings the level down first. A value that is not a finite number is a MediaError in every format.
    A wav file becomes RF64 when it passes 4 GiB and is plain RIFF otherwise.

        with AudioWriter(path, sample_rate_hz=48000, num_channels=2, subtype="wav_float32") as writer:
            for block in blocks:
                writer.write(block)
    """

    def __init__(self, path: Path, *, sample_rate_hz: int, num_channels: int, subtype: AudioSubtype) -> None:
        """Take down the format; the file is opened on entering the `with` block.

        Raises ValueError for an unknown subtype or a number that is not positive, MediaError for more than 8 channels of flac.
        """
        if subtype not in get_args(AudioSubtype):
            raise ValueError(f"subtype must be one of {', '.join(get_args(AudioSubtype))}, not {subtype!r}")
        if sample_rate_hz < 1 or num_channels < 1:
            raise ValueError(f"sample_rate_hz and num_channels must be positive, not {sample_rate_hz} and {num_channels}")
        if subtype == "flac_int24" and num_channels > _FLAC_MAX_CHANNELS:
            raise MediaError(f"{path}: flac holds at most {_FLAC_MAX_CHANNELS} channels, this sound has {num_channels}; write wav instead")
        self.path = Path(path)
        self.sample_rate_hz = sample_rate_hz
        self.num_channels = num_channels
        self.subtype = subtype
        self.peak = 0.0
        """Largest absolute value written so far, linear full scale."""
        self.num_samples = 0
        """Samples per channel written so far."""
        self._temporary: Path | None = None
        self._file: _ReportingFile | None = None
        self._flac: soundfile.SoundFile | None = None

    def __enter__(self) -> "AudioWriter":
        """Open a temporary file beside the target; MediaError when the place cannot be written."""
        self._temporary = temporary_beside(self.path)
        try:
            self._file = _ReportingFile(open(self._temporary, "xb"))  # noqa: SIM115 - closed in __exit__
            if self.subtype == "flac_int24":
                self._flac = soundfile.SoundFile(
                    self._file, "w", samplerate=self.sample_rate_hz, channels=self.num_channels, format="FLAC", subtype="PCM_24"
                )
                self._file.check()
            else:
                self._file.write_now(self._header())
        except (OSError, soundfile.SoundFileError) as error:
            self._abandon()
            raise write_failure(self.path, error) from error
        return self

    def write(self, block: Float32[np.ndarray, "C n"]) -> None:
        """Append samples, full scale ±1.

        Raises MediaError when the disk refuses, when a value is not finite, or when an integer format would overflow.
        """
        if self._file is None:
            raise RuntimeError("AudioWriter.write is only possible inside its with block")
        if block.ndim != 2 or block.shape[0] != self.num_channels:
            raise ValueError(f"block must be [{self.num_channels}, n], not {list(block.shape)}")
        if block.shape[1] == 0:
            return
        peak = float(np.abs(block).max())
        if not np.isfinite(peak):
            raise MediaError(f"{self.path}: the sound holds values that are not finite numbers; nothing was written")
        if peak > 1.0 and self.subtype != "wav_float32":
            raise MediaError(
                f"{self.path}: the sound peaks at {peak:.3f}, above the full scale of 24-bit integers; lower it or write wav_float32"
            )
        try:
            if self._flac is not None:
                # libsndfile takes the upper 24 of 32 bits.
                self._flac.write(np.ascontiguousarray(quantize_int24(block).T) << 8)
                self._file.check()
            else:
                self._file.write_now(wav_bytes(block, is_float=self.subtype == "wav_float32"))
        except (OSError, soundfile.SoundFileError, AssertionError) as error:
            raise write_failure(self.path, self._file.error or error) from error
        self.peak = max(self.peak, peak)
        self.num_samples += block.shape[1]

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """Complete the file and move it into place, or remove it when the body failed."""
        if kind is not None or self._file is None or self._temporary is None:
            self._abandon()
            return
        try:
            self._finish(self._file)
            os.replace(self._temporary, self.path)
        except (OSError, soundfile.SoundFileError) as error:
            raise write_failure(self.path, error) from error
        finally:
            self._abandon()

    def _finish(self, file: "_ReportingFile") -> None:
        """Write what can only be written at the end, and close."""
        if self._flac is not None:
            self._flac.close()
            file.check()
        else:
            header = self._header()
            if (file.tell() - len(header)) % 2:
                file.write_now(b"\0")
            file.seek(0)
            file.write_now(header)
        file.close()

    def _header(self) -> bytes:
        """The wav header for what has been written so far."""
        return wav_header(
            num_frames=self.num_samples,
            sample_rate_hz=self.sample_rate_hz,
            num_channels=self.num_channels,
            is_float=self.subtype == "wav_float32",
        )

    def _abandon(self) -> None:
        """Close and remove whatever is left; harmless after success."""
        for open_file in (self._flac, self._file):
            try:
                if open_file is not None:
                    open_file.close()
            except (OSError, soundfile.SoundFileError):
                # The file is thrown away; the error that led here is the one to report.
                continue
        if self._temporary is not None:
            discard(self._temporary)
        self._flac = self._file = self._temporary = None


class _ReportingFile:
    """A binary file for libsndfile, whose C callbacks cannot raise: the first OSError is kept, and `check` raises it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of `data` and return its length; 0 after a failure, which libsndfile takes as an error."""
        if self.error is not None:
            return 0
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            return 0

    def write_now(self, data: bytes) -> None:
        """Write all of `data`, or raise OSError."""
        self._file.write(data)

    def check(self) -> None:
        """Raise the kept error, if any."""
        if self.error is not None:
            raise self.error

    def read(self, size: int = -1) -> bytes:
        """Nothing is ever read back, but soundfile asks that a file can read."""
        return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move, as in any file; a failure is kept for `check`."""
        try:
            return self._file.seek(offset, whence)
        except OSError as error:
            self.error = self.error or error
            return 0

    def tell(self) -> int:
        """Position in bytes."""
        return self._file.tell()

    def flush(self) -> None:
        """Hand buffered bytes to the system."""
        self._file.flush()

    def close(self) -> None:
        """Flush and close; raises OSError when the last bytes do not fit."""
        self._file.close()


def write_audio(path: Path, audio: Audio, *, subtype: AudioSubtype) -> None:
    """Write a sound in memory to a file; see `AudioWriter` for formats and errors."""
    with AudioWriter(path, sample_rate_hz=audio.sample_rate_hz, num_channels=audio.num_channels, subtype=subtype) as writer:
        writer.write(audio.samples)
