"""Frames of sound as FFmpeg decodes them → float32 samples [C, n]. Only audio_decoder.py imports this file."""

from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from jaxtyping import Float32

from trisep.errors import MediaError
from trisep.media.bounds import HIGHEST_PEAK

_PACKED = {"u8p": "u8", "s16p": "s16", "s32p": "s32", "fltp": "flt", "dblp": "dbl", "s64": "dbl", "s64p": "dbl"}
_FULL_SCALE = {np.dtype(np.int16): 2.0**15, np.dtype(np.int32): 2.0**31}
_MAX_PLANES = 7
"""PyAV reads past the end of the plane table of frames with 8 planes; those are interleaved by FFmpeg first."""


def quietly_decoded(packet: Any) -> list[Any]:
    """Decode the frames of a packet; a damaged one has none."""
    try:
        return list(packet.decode())
    except FFmpegError:
        return []


class FrameConverter:
    """Converts frames of any sample format into float32 [C, n]."""

    def __init__(self, path: Path, sample_rate_hz: int, num_channels: int) -> None:
        self._path, self._sample_rate_hz, self._num_channels = path, sample_rate_hz, num_channels
        self._packer: Any = None

    def samples(self, frame: Any) -> Float32[np.ndarray, "C n"]:
        """Scale integers to ±1 and take floats as they are.

        Raises MediaError when the rate changes within the stream, when the channels change other than between one and
        the expected number, or when a sample is not a finite number.
        """
        if frame.sample_rate != self._sample_rate_hz:
            raise MediaError(
                f"{self._path}: the sampling rate changes from {self._sample_rate_hz} Hz to {frame.sample_rate} Hz "
                "within the stream; "
                "convert it to one rate first"
            )
        num_channels = frame.layout.nb_channels
        if frame.format.name in _PACKED and (num_channels > _MAX_PLANES or frame.format.name.startswith("s64")):
            if self._packer is None:
                self._packer = av.AudioResampler(format=_PACKED[frame.format.name])
            arrays = [packed.to_ndarray().reshape(-1, num_channels).T for packed in self._packer.resample(frame)]
            raw = np.concatenate(arrays, axis=1)
        else:
            raw = frame.to_ndarray()
            raw = raw if frame.format.is_planar else raw.reshape(-1, num_channels).T
        return self._with_channels(scaled(raw, self._path), num_channels)

    def _with_channels(self, samples: Float32[np.ndarray, "C n"], num_channels: int) -> Float32[np.ndarray, "C2 n"]:
        """Repeat mono or average towards mono, as broadcasts switch between mono and stereo; refuse other changes."""
        wanted = self._num_channels
        if num_channels == wanted:
            return samples
        if num_channels == 1:
            return np.repeat(samples, wanted, axis=0)
        if wanted == 1:
            average: np.ndarray = samples.mean(axis=0, keepdims=True)
            return average
        raise MediaError(
            f"{self._path}: the number of channels changes from {wanted} to {num_channels} in mid-stream; convert it "
            "to one layout first"
        )


def scaled(raw: np.ndarray, path: Path) -> Float32[np.ndarray, "C n"]:
    """Scale samples of any type to float32 with full scale ±1."""
    if raw.dtype == np.uint8:
        return (raw.astype(np.float32) - 128.0) / np.float32(128.0)
    if raw.dtype in _FULL_SCALE:
        return raw.astype(np.float32) / np.float32(_FULL_SCALE[raw.dtype])
    samples = np.array(raw, dtype=np.float32)
    if not np.isfinite(samples).all():
        raise MediaError(f"{path}: the sound holds values that are not finite numbers; export it again")
    if samples.size and np.abs(samples).max() > HIGHEST_PEAK:
        raise MediaError(
            f"{path}: the sound holds values beyond {HIGHEST_PEAK:g} times full scale; it is damaged: export it again"
        )
    return samples
