"""Sound into files, block by block: wav with 32-bit floats or integers, and flac with integers of 24 or 16 bits.

A wav file is plain RIFF, or RF64 (EBU Tech 3306) once it passes 4 GiB. Its header has the same length in both forms,
since a RIFF header carries a JUNK chunk where RF64 has its ds64 chunk. So a file whose length is not known beforehand
starts as RIFF and becomes RF64 at its end where it must. This file knows no video.
"""

import os
import struct
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, get_args

import numpy as np
import soundfile
from jaxtyping import Float32

from trisep.errors import MediaError
from trisep.media.files import discard, move_into_place, temporary_beside, write_failure
from trisep.media.layouts import speaker_mask
from trisep.media.wav_header import EXTENSIBLE, IEEE_FLOAT, PCM
from trisep.types import Audio

AudioSubtype = Literal["wav_float32", "wav_int24", "wav_int16", "flac_int24", "flac_int16"]

_FLAC_MAX_CHANNELS = 8
_FLAC_HEAD_BYTES = 4096
_MASK_COMMENT = "WAVEFORMATEXTENSIBLE_CHANNEL_MASK=0x{:05X}"
"""The comment of a flac file that says where its channels are heard (RFC 9639, section 8.6.2)."""
_RESERVED = "x" * (len(_MASK_COMMENT.format(0)) - len("license="))
""" 'license=' and this take the place of that comment, for which libsndfile has no name, until the file is complete."""


class AudioWriter:
    """Write a sound block by block; the file appears under its name only when the `with` block ends well.

    Float files keep values beyond full scale. Integer files never wrap: a block that exceeds full scale is a
    MediaError, so the caller brings the level down first. A value that is not a finite number is a MediaError in every
    format. A wav file becomes RF64 when it passes 4 GiB and is plain RIFF otherwise.

        with AudioWriter(path, sample_rate_hz=48000, num_channels=2, subtype="wav_float32") as writer:
            for block in blocks:
                writer.write(block)
    """

    def __init__(
        self,
        path: Path,
        *,
        sample_rate_hz: int,
        num_channels: int,
        subtype: AudioSubtype,
        layout: str | None = None,
    ) -> None:
        """Store the format; the file is opened on entering the `with` block.

        `layout` is FFmpeg's name of where the channels are heard, which wav and flac keep; None is the usual one.

        Raises ValueError for an unknown subtype or a number that is not positive, MediaError for more than
        8 channels of flac.
        """
        if subtype not in get_args(AudioSubtype):
            raise ValueError(f"subtype must be one of {', '.join(get_args(AudioSubtype))}, not {subtype!r}")
        if sample_rate_hz < 1 or num_channels < 1:
            raise ValueError(
                f"sample_rate_hz and num_channels must be positive, not {sample_rate_hz} and {num_channels}"
            )
        if subtype.startswith("flac") and num_channels > _FLAC_MAX_CHANNELS:
            raise MediaError(
                f"{path}: flac holds at most {_FLAC_MAX_CHANNELS} channels, this sound has {num_channels}; write wav "
                "instead"
            )
        self.path = Path(path)
        self.sample_rate_hz = sample_rate_hz
        self.num_channels = num_channels
        self.subtype = subtype
        self.layout = layout
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
            if self.subtype.startswith("flac"):
                self._flac = soundfile.SoundFile(
                    self._file,
                    "w",
                    samplerate=self.sample_rate_hz,
                    channels=self.num_channels,
                    format="FLAC",
                    subtype=f"PCM_{self._bits}",
                )
                if self._mask:
                    self._flac.license = _RESERVED
                self._file.check()
            else:
                self._file.write_now(self._header())
        except (OSError, soundfile.SoundFileError) as error:
            failure = self._failure(error)
            self._abandon()
            raise failure from error
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
                f"{self.path}: the sound peaks at {peak:.3f}, above the full scale of integers; lower it or "
                "write wav_float32"
            )
        try:
            if self._flac is not None:
                # libsndfile takes the upper bits of 32.
                self._flac.write(np.ascontiguousarray(quantize(block, self._bits).T) << (32 - self._bits))
                self._file.check()
            else:
                self._file.write_now(wav_bytes(block, bits=self._bits))
        except (OSError, soundfile.SoundFileError, AssertionError) as error:
            raise self._failure(error) from error
        self.peak = max(self.peak, peak)
        self.num_samples += block.shape[1]

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Complete the file and move it into place, or remove it when the body failed."""
        if kind is not None or self._file is None or self._temporary is None:
            self._abandon()
            return
        try:
            self._finish(self._file)
            move_into_place(self._temporary, self.path)
        except (OSError, soundfile.SoundFileError) as error:
            raise self._failure(error) from error
        finally:
            self._abandon()

    def _finish(self, file: "_ReportingFile") -> None:
        """Write what can only be written at the end, and close."""
        if self._flac is not None:
            self._flac.close()
            file.check()
            if self._mask:
                assert self._temporary is not None
                _name_speakers(self._temporary, self._mask)
        else:
            header = self._header()
            if (file.tell() - len(header)) % 2:
                file.write_now(b"\0")
            file.seek(0)
            file.write_now(header)
        file.close()

    def _header(self) -> bytes:
        """Build the wav header for what has been written so far."""
        return wav_header(
            num_frames=self.num_samples,
            sample_rate_hz=self.sample_rate_hz,
            num_channels=self.num_channels,
            bits=self._bits,
            layout=self.layout,
        )

    def _failure(self, error: Exception) -> MediaError:
        """Build the error to raise; where the disk refused, its reason instead of libsndfile's words about it."""
        refused = self._file.error if self._file is not None else None
        return write_failure(self.path, refused or error)

    @property
    def _mask(self) -> int:
        """Speaker positions of more than two channels, which a flac file says in a comment; 0 says nothing."""
        return speaker_mask(self.layout, self.num_channels) if self.num_channels > 2 else 0

    @property
    def _bits(self) -> int:
        """Size of a sample; 32 bits are a float, fewer an integer."""
        return int(self.subtype[-2:])

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


def _name_speakers(path: Path, mask: int) -> None:
    """Put the channel mask into a flac file that has the reserved comment; OSError where it cannot be written."""
    with path.open("r+b") as file:
        head = file.read(_FLAC_HEAD_BYTES)
        at = head.lower().index(b"license=" + _RESERVED.encode())
        file.seek(at)
        file.write(_MASK_COMMENT.format(mask).encode())


class _ReportingFile:
    """A binary file for libsndfile, whose C callbacks cannot raise: it keeps the first OSError for `check`."""

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
        """Return nothing: soundfile asks that a file can be read, and never reads it."""
        return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to an offset, as in any file; a failure is kept for `check`."""
        try:
            return self._file.seek(offset, whence)
        except OSError as error:
            self.error = self.error or error
            return 0

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._file.tell()

    def flush(self) -> None:
        """Hand the buffered bytes to the system."""
        self._file.flush()

    def close(self) -> None:
        """Flush and close; raises OSError when the last bytes do not fit."""
        self._file.close()


def write_audio(path: Path, audio: Audio, *, subtype: AudioSubtype) -> None:
    """Write a sound in memory to a file; see `AudioWriter` for formats and errors."""
    with AudioWriter(
        path, sample_rate_hz=audio.sample_rate_hz, num_channels=audio.num_channels, subtype=subtype
    ) as writer:
        writer.write(audio.samples)


RIFF_LIMIT_BYTES = 0xFFFF_FFFF
"""Largest size that a 32-bit chunk length can hold."""
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")


def wav_header(
    *, num_frames: int, sample_rate_hz: int, num_channels: int, bits: int, layout: str | None = None
) -> bytes:
    """Build everything that comes before the samples.

    Args:
        num_frames: samples per channel.
        sample_rate_hz: samples per second.
        num_channels: 1 or more; more than two use WAVE_FORMAT_EXTENSIBLE with speaker positions.
        bits: size of a sample: 32 (float), 24 or 16 (integer).
        layout: FFmpeg's name of the speaker positions; None takes the usual ones.
    """
    data_bytes = num_frames * num_channels * bits // 8
    body = _format_chunk(sample_rate_hz, num_channels, bits, layout)
    if bits == 32:
        body += b"fact" + struct.pack("<II", 4, min(num_frames, 0xFFFF_FFFF))
    # Bytes after the 8 of the outer header: "WAVE", ds64 or JUNK (8 + 28), the chunks above, "data" and its size,
    # samples, padding.
    riff_bytes = 4 + 36 + len(body) + 8 + data_bytes + data_bytes % 2
    if riff_bytes <= RIFF_LIMIT_BYTES:
        return (
            b"RIFF"
            + struct.pack("<I", riff_bytes)
            + b"WAVE"
            + b"JUNK"
            + struct.pack("<I", 28)
            + bytes(28)
            + body
            + b"data"
            + struct.pack("<I", data_bytes)
        )
    sizes = struct.pack("<IQQQI", 28, riff_bytes, data_bytes, num_frames, 0)
    return (
        b"RF64"
        + struct.pack("<I", 0xFFFF_FFFF)
        + b"WAVE"
        + b"ds64"
        + sizes
        + body
        + b"data"
        + struct.pack("<I", 0xFFFF_FFFF)
    )


def quantize(block: Float32[np.ndarray, "C n"], bits: int) -> np.ndarray:
    """Round to integers of so many bits in int32, [C, n]; +1.0 becomes the largest value.

    Values beyond full scale are clipped and never wrap; callers check the level.
    """
    full_scale = 1 << (bits - 1)
    scaled = np.rint(block.astype(np.float64) * full_scale)
    return np.clip(scaled, -full_scale, full_scale - 1).astype(np.int32)


def wav_bytes(block: Float32[np.ndarray, "C n"], *, bits: int) -> bytes:
    """Encode a block as its samples stand in the file: interleaved, little-endian."""
    if bits == 32:
        return np.ascontiguousarray(block.T, dtype="<f4").tobytes()
    values = np.ascontiguousarray(quantize(block, bits).T, dtype="<i4")
    return values.view(np.uint8).reshape(*values.shape, 4)[..., : bits // 8].tobytes()


def _format_chunk(sample_rate_hz: int, num_channels: int, bits: int, layout: str | None) -> bytes:
    """Build the fmt chunk: the short form for one and two channels, which every reader knows."""
    tag, frame_bytes = IEEE_FLOAT if bits == 32 else PCM, num_channels * bits // 8
    extended = num_channels > 2
    fields = struct.pack(
        "<HHIIHH",
        EXTENSIBLE if extended else tag,
        num_channels,
        sample_rate_hz,
        sample_rate_hz * frame_bytes,
        frame_bytes,
        bits,
    )
    if extended:
        fields += struct.pack("<HHIH", 22, bits, speaker_mask(layout, num_channels), tag) + _GUID_TAIL
    elif bits == 32:
        fields += struct.pack("<H", 0)
    return b"fmt " + struct.pack("<I", len(fields)) + fields
