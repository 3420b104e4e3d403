"""Which of several streams is read, files that FFmpeg finds nothing in, and pictures in the shape in which they are
shown.
"""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from trisep.errors import MediaError
from trisep.media.audio import read_audio, read_facts, stream_audio
from trisep.media.audio_writer import AudioSubtype, AudioWriter
from trisep.media.probe import probe
from trisep.media.video import read_frames

Chirp = Callable[..., np.ndarray]


def two_tracks(path: Path, sounds: list[np.ndarray], *, default: int | None, rate_hz: int = 8000) -> Path:
    """Tracks of FLAC, of which one is flagged as the default."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("flac", rate=rate_hz, layout="mono") for _ in sounds]
        for index, stream in enumerate(streams):
            stream.disposition = Disposition.default if index == default else Disposition(0)
        for stream, samples in zip(streams, sounds, strict=True):
            frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return path


def test_the_default_track_is_read_else_the_first(tmp_path: Path, chirp: Chirp) -> None:
    first, second = chirp(1, 8000), chirp(2, 8000)[1:]
    for default, expected in ((1, second), (0, first), (None, first)):
        path = two_tracks(tmp_path / f"{default}.mkv", [first, second], default=default)
        np.testing.assert_allclose(read_audio(path).samples, expected, atol=1e-4)
        assert read_facts(path, None).num_streams == 2
        np.testing.assert_allclose(read_audio(path, stream=1).samples, second, atol=1e-4)


def test_a_track_that_cannot_be_decoded_is_passed_over(tmp_path: Path, chirp: Chirp) -> None:
    sound = chirp(1, 8000)
    path = two_tracks(tmp_path / "a.mkv", [sound, sound], default=0)
    # The codec of the first track becomes one that nobody knows.
    path.write_bytes(path.read_bytes().replace(b"A_FLAC", b"A_APAC", 1))
    assert read_facts(path, None).stream == 1
    np.testing.assert_allclose(read_audio(path).samples, sound, atol=1e-4)
    with pytest.raises(MediaError, match="the codec of sound stream 0 is unknown"):
        read_audio(path, stream=0)


@pytest.mark.parametrize("subtype", ["wav_int16", "wav_float32", "flac_int16"])
def test_a_file_that_ends_after_its_header_is_cut_off(subtype: AudioSubtype, tmp_path: Path) -> None:
    path = tmp_path / f"a.{subtype[:4].strip('_')}"
    with AudioWriter(path, sample_rate_hz=16000, num_channels=1, subtype=subtype) as writer:
        writer.write(np.full((1, 32000), 0.25, np.float32))
    whole = path.read_bytes()
    for length in range(44, 120):
        path.write_bytes(whole[:length])
        with pytest.raises(MediaError, match=r"a\.(wav|flac): "):
            read_audio(path)


def test_a_file_that_ffmpeg_demuxes_nothing_of_is_read_by_libsndfile(tmp_path: Path) -> None:
    rate, path = 192_000, tmp_path / "long_frames.flac"
    noise = np.random.default_rng(0).integers(-(2**31), 2**31, (6, rate // 2), dtype=np.int64).astype(np.int32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=rate, layout="5.1", format="s32", options={"frame_size": "16384"})
        frame = av.AudioFrame.from_ndarray(noise.T.reshape(1, -1).copy(), format="s32", layout="5.1")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        assert not any(packet.size for packet in container.demux())
    facts = read_facts(path, None)
    assert facts.by_libsndfile and (facts.sample_rate_hz, facts.num_channels, facts.layout) == (rate, 6, "5.1")
    expected = (noise >> 8) / 2.0**23
    np.testing.assert_allclose(read_audio(path).samples, expected, atol=1e-6)
    part = np.concatenate(list(stream_audio(path, start_seconds=0.1, duration_seconds=0.2)), axis=1)
    np.testing.assert_allclose(part, expected[:, rate // 10 : 3 * rate // 10], atol=1e-6)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match="cut off or damaged"):
        read_audio(path)


def pictures(path: Path, levels: list[int], *, default: int | None = None, aspect: str | None = None) -> Path:
    """Streams of pictures of 32 rows and 48 columns, each of one grey level."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("mpeg4", rate=10) for _ in levels]
        for index, stream in enumerate(streams):
            stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
            if aspect is not None:
                stream.codec_context.sample_aspect_ratio = Fraction(aspect)
            if default is not None:
                stream.disposition = Disposition.default if index == default else Disposition(0)
        for stream, level in zip(streams, levels, strict=True):
            for number in range(5):
                frame = av.VideoFrame.from_ndarray(np.full((32, 48, 3), level, np.uint8), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 10)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return path


@pytest.mark.parametrize("default", [0, 1])
def test_of_several_pictures_the_default_one_is_shown(tmp_path: Path, default: int) -> None:
    path = pictures(tmp_path / "a.mkv", [40, 200], default=default)
    assert read_frames(path, [0.2]).mean() == pytest.approx([40, 200][default], abs=6)
    assert len(probe(path).video) == 2


@pytest.mark.parametrize(("aspect", "width"), [("2", 96), ("1/2", 24), ("1", 48), ("1000", 48)])
def test_pictures_have_the_shape_in_which_they_are_shown(tmp_path: Path, aspect: str, width: int) -> None:
    path = pictures(tmp_path / "a.mkv", [90], aspect=aspect)
    video = probe(path).video[0]
    assert (video.height, video.width) == (32, width)
    assert read_frames(path, [0.0]).shape == (1, 32, width, 3)
    assert min(read_frames(path, [0.0], short_side=16).shape[1:3]) == 16


def test_a_strip_of_a_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "strip.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=1)
        stream.height, stream.width, stream.pix_fmt = 1, 5000, "gray"
        frame = av.VideoFrame.from_ndarray(np.zeros((1, 5000), np.uint8), format="gray")
        frame.pts, frame.time_base = 0, Fraction(1, 1)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    for read in (probe, lambda video: read_frames(video, [0.0])):
        with pytest.raises(MediaError, match=r"strip\.mov: the picture has 5000 × 1 pixels"):
            read(path)
