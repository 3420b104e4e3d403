"""The sounds of a protocol's sources: where a segment lies to the sample, what fills it up, and its level."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trisep.evaluation.sounds import bounds_seconds, mix, read_clip
from trisep.media.audio_writer import write_audio
from trisep.protocols import ProtocolSource
from trisep.types import Audio

RATE_HZ = 16000


def wav(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ, **others: object) -> ProtocolSource:
    """A source of these samples, one channel or several."""
    write_audio(path, Audio(np.atleast_2d(samples).astype(np.float32), rate_hz), subtype="wav_float32")
    return ProtocolSource(path=path, label="x", **others)  # type: ignore[arg-type]


def counted(num_samples: int) -> np.ndarray:
    """Each sample tells its own place, exactly in float32 and never 0."""
    return (np.arange(num_samples, dtype=np.float32) + 1) / 2**20


def square(num_samples: int, level: float) -> np.ndarray:
    """±level by turns: its RMS is its level."""
    return level * np.resize([1.0, -1.0], num_samples)


def test_sources_are_brought_to_their_level_over_their_whole_length_then_cut(tmp_path: Path) -> None:
    loud = wav(tmp_path / "loud.wav", square(4000, 0.5))
    # Sounding for half of its length: RMS 0.2 / √2, so that −20 dBFS makes 0.1 · √2 of it.
    half = wav(tmp_path / "half.wav", np.concatenate([square(4000, 0.2), np.zeros(4000)]))
    mixed = mix([loud, half], -20.0, RATE_HZ)
    assert mixed.shape == (2, 4000) and mixed.dtype == np.float32
    np.testing.assert_allclose(mixed[0], square(4000, 0.1), rtol=1e-5)
    np.testing.assert_allclose(mixed[1], square(4000, 0.1 * np.sqrt(2)), rtol=1e-5)


def test_without_a_level_sources_are_divided_by_their_number(tmp_path: Path) -> None:
    lengths = (1001, 998, 1500)
    sources = [wav(tmp_path / f"{length}.wav", counted(length)) for length in lengths]
    mixed = mix(sources, None, RATE_HZ)
    np.testing.assert_allclose(mixed, np.tile(counted(998) / 3, (3, 1)), rtol=1e-6)


def test_channels_are_averaged_and_a_stretch_is_cut_out(tmp_path: Path) -> None:
    stereo = wav(tmp_path / "a.wav", np.stack([counted(32001), np.zeros(32001)]))
    np.testing.assert_array_equal(read_clip(stereo, RATE_HZ), counted(32001) / 2)
    stretch = replace(stereo, start_seconds=0.5, end_seconds=1.25)
    np.testing.assert_array_equal(read_clip(stretch, RATE_HZ), counted(32001)[8000:20000] / 2)
    np.testing.assert_array_equal(read_clip(replace(stereo, start_seconds=1.5), RATE_HZ), counted(32001)[24000:] / 2)


@pytest.mark.parametrize("num_samples", [4001, 7777, 16001, 22051])
@pytest.mark.parametrize("start", [0.0, 0.3, 0.5, 1.0])
def test_segments_of_clips_of_odd_lengths_lie_where_their_start_says(
    tmp_path: Path, num_samples: int, start: float
) -> None:
    source = wav(tmp_path / "a.wav", counted(num_samples), start=start)
    for length in (1, 2000, 3999, num_samples - 1, num_samples):
        (segment,) = mix([source], None, RATE_HZ, clip_samples=length)
        first = round(float(segment[0]) * 2**20) - 1
        assert first == pytest.approx(start * (num_samples - length), abs=0.5 + 1e-6)
        np.testing.assert_array_equal(segment, counted(num_samples)[first : first + length])


def test_what_a_short_clip_lacks_is_silence(tmp_path: Path) -> None:
    short = wav(tmp_path / "short.wav", counted(1001), start=1.0)
    (filled,) = mix([short], None, RATE_HZ, clip_samples=1500)
    assert filled.shape == (1500,)
    np.testing.assert_array_equal(filled[:1001], counted(1001))
    assert not filled[1001:].any()
    # A stretch of a longer file ends where it says.
    stretch = wav(tmp_path / "file.wav", counted(9000), start_seconds=0.25, end_seconds=0.3125)
    (cut,) = mix([stretch], None, RATE_HZ, clip_samples=3000)
    np.testing.assert_array_equal(cut[:1000], counted(9000)[4000:5000])
    assert not cut[1000:].any()
    both = mix([short, wav(tmp_path / "long.wav", counted(5000), start=0.0)], None, RATE_HZ, clip_samples=1500)
    np.testing.assert_array_equal(both[0], filled / 2)
    np.testing.assert_array_equal(both[1], counted(1500) / 2)


@pytest.mark.parametrize("rate_hz", [8000, 11025, 44100])
@pytest.mark.parametrize("num_samples", [11025, 11026, 22051])
def test_at_another_rate_a_segment_is_full_to_its_end(tmp_path: Path, rate_hz: int, num_samples: int) -> None:
    source = wav(tmp_path / "a.wav", np.full(num_samples, 0.25), rate_hz)
    length = int(num_samples * RATE_HZ / rate_hz)
    for start in (0.0, 0.37, 1.0):
        for clip_samples in (1000, length - 1, length):
            (segment,) = mix([replace(source, start=start)], None, RATE_HZ, clip_samples=clip_samples)
            assert segment.shape == (clip_samples,) and abs(segment[-1]) > 0.05
            np.testing.assert_allclose(segment[100:-100], 0.25, atol=1e-3)
    assert len(read_clip(source, RATE_HZ)) == pytest.approx(num_samples * RATE_HZ / rate_hz, abs=1)


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 44100])
@pytest.mark.parametrize("end_seconds", [0.5, 0.50003, 0.49997])
def test_nothing_after_the_end_of_a_stretch_is_read(tmp_path: Path, rate_hz: int, end_seconds: float) -> None:
    samples = np.where(np.arange(rate_hz) < round(end_seconds * rate_hz), 0.0, 1.0)
    source = wav(tmp_path / "a.wav", samples, rate_hz, start_seconds=0.1, end_seconds=end_seconds)
    for start in (0.0, 0.313, 1.0):
        for clip_samples in (1000, round((end_seconds - 0.1) * RATE_HZ), RATE_HZ):
            (segment,) = mix([replace(source, start=start)], None, RATE_HZ, clip_samples=clip_samples)
            assert not segment.any()


def test_where_segments_begin_and_end(tmp_path: Path) -> None:
    source = wav(tmp_path / "a.wav", counted(32000))
    assert bounds_seconds(source, None) == (0.0, 2.0)
    assert bounds_seconds(replace(source, start=0.25), 1.0) == (0.25, 1.25)
    assert bounds_seconds(replace(source, start=1.0), 3.0) == (0.0, 2.0)
    stretch = replace(source, start_seconds=0.5, end_seconds=1.5, start=0.5)
    assert bounds_seconds(stretch, None) == (0.5, 1.5)
    assert bounds_seconds(stretch, 0.5) == (0.75, 1.25)
    assert bounds_seconds(stretch, 3.0) == (0.5, 1.5)
    assert bounds_seconds(replace(source, start_seconds=1.0, start=1.0), 0.25) == (1.75, 2.0)
    # A clip that is told where it ends is not opened for that.
    assert bounds_seconds(replace(stretch, path=tmp_path / "absent.wav"), 0.5) == (0.75, 1.25)
