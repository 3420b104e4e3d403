"""Frames at given times out of every kind of video, upright, and in step with the sound."""

from pathlib import Path

import av
import numpy as np
import pytest

from trisep.errors import MediaError
from trisep.media.video import _Cursor, read_frames, stream_frames, write_video

LEVELS = [20, 60, 100, 140, 180, 220]
UNEVEN_SECONDS = [0.0, 0.1, 0.5, 0.6, 2.0, 3.0]


def level(frame):
    """Grey level of a frame, away from its corners."""
    height, width = frame.shape[:2]
    return float(frame[height * 2 // 5 : height * 3 // 5, width * 2 // 5 : width * 3 // 5].mean())


@pytest.mark.parametrize(
    ("name", "codec"),
    [("vfr.mkv", "libx264"), ("vfr.mp4", "libx264"), ("vfr.mp4", "mpeg4"), ("vfr.webm", "libvpx-vp9")],
)
def test_nearest_frame_of_a_variable_frame_rate(make_media, name, codec):
    path = make_media(name, levels=LEVELS, times_seconds=UNEVEN_SECONDS, video_codec=codec)
    wanted = {
        0.0: 20,
        0.04: 20,
        0.06: 60,
        0.29: 60,
        0.31: 100,
        0.56: 140,
        1.29: 140,
        1.31: 180,
        2.49: 180,
        2.51: 220,
        99.0: 220,
        1e300: 220,
        -1.0: 20,
    }
    frames = read_frames(path, list(wanted))
    assert frames.dtype == np.uint8
    assert frames.shape == (13, 48, 64, 3)
    assert np.abs(np.array([level(frame) for frame in frames]) - list(wanted.values())).max() < 6


def test_order_and_repeats_are_kept(make_media):
    path = make_media("a.mp4", levels=LEVELS, times_seconds=UNEVEN_SECONDS)
    frames = read_frames(path, [3.0, 0.0, 3.0, 0.5])
    assert [round(level(frame), -1) for frame in frames] == pytest.approx([220, 20, 220, 100], abs=10)


def test_times_far_apart_equal_a_walk_through_all_frames(make_media, monkeypatch):
    # 12 s at 10 fps with a key frame every second.
    path = make_media(
        "long.mp4", levels=[2 * index for index in range(120)], times_seconds=[index / 10 for index in range(120)]
    )
    with av.open(str(path)) as container:
        everything = [level(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    times = [0.3, 4.7, 4.8, 11.1, 11.9]
    advances = []
    original = _Cursor._advance
    monkeypatch.setattr(_Cursor, "_advance", lambda cursor: advances.append(1) or original(cursor))
    frames = read_frames(path, times)
    assert [level(frame) for frame in frames] == pytest.approx(
        [everything[round(10 * time)] for time in times], abs=1.5
    )
    assert len(advances) < 60


@pytest.mark.parametrize("counterclockwise", [-90, 90, 180])
def test_rotated_video_is_upright(make_media, counterclockwise):
    path = make_media(
        "phone.mp4", levels=[20] * 5, times_seconds=[index / 5 for index in range(5)], rotation=counterclockwise
    )
    frame = read_frames(path, [0.0])[0]
    corners = {-90: frame[:8, -8:], 90: frame[-8:, :8], 180: frame[-8:, -8:]}
    assert frame.shape[:2] == ((48, 64) if counterclockwise == 180 else (64, 48))
    assert {angle: bool(corner.mean() > 200) for angle, corner in corners.items()} == {
        angle: angle == counterclockwise for angle in corners
    }


def test_short_side_and_odd_sizes(make_media):
    path = make_media("odd.mkv", levels=[20, 220], times_seconds=[0, 1], size=(35, 51), video_codec="ffv1")
    assert read_frames(path, [0.0]).shape == (1, 35, 51, 3)
    small = read_frames(path, [0.0, 1.0], short_side=20)
    assert small.shape == (2, 20, 29, 3)
    assert [level(frame) for frame in small] == pytest.approx([20, 220], abs=3)
    assert read_frames(path, [0.0], short_side=70).shape == (1, 70, 102, 3)
    rotated = make_media("phone.mp4", levels=[20] * 2, times_seconds=[0, 1], rotation=90)
    assert read_frames(rotated, [0.0], short_side=24).shape == (1, 32, 24, 3)


def test_frames_and_sound_share_one_clock(make_media, chirp):
    # The picture starts a second after the sound.
    path = make_media(
        "late.mkv", sounds=[(chirp(1, 48000, 3.0), 48000)], levels=[20, 120, 220], times_seconds=[1.0, 1.5, 2.0]
    )
    assert [level(frame) for frame in read_frames(path, [0.0, 1.2, 1.3, 2.0])] == pytest.approx(
        [20, 20, 120, 220], abs=6
    )


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_stream_of_frames(tmp_path, name):
    path = tmp_path / name
    write_video(path, [np.full((48, 64, 3), 20 * index, np.uint8) for index in range(12)], fps=4)
    streamed = list(stream_frames(path, fps=1.0, short_side=24))
    assert [time for time, _ in streamed] == [0.0, 1.0, 2.0]
    assert [level(frame) for _, frame in streamed] == pytest.approx([0, 80, 160], abs=6)
    assert streamed[0][1].shape == (24, 32, 3)
    assert [time for time, _ in stream_frames(path, fps=8.0)] == [index // 2 / 4 for index in range(24)]


def test_one_frame_is_a_stream_too(make_media):
    path = make_media("still.mkv", levels=[100], times_seconds=[0])
    assert len(list(stream_frames(path, fps=1.0))) == 1


def test_errors(make_media, chirp, tmp_path):
    with pytest.raises(MediaError, match="holds no picture"):
        read_frames(make_media("sound.m4a", sounds=[(chirp(), 48000)]), [0.0])
    with pytest.raises(MediaError, match="no such file"):
        next(stream_frames(tmp_path / "absent.mp4", fps=1.0))
    path = make_media("a.mp4", levels=[10] * 2, times_seconds=[0, 1])
    with pytest.raises(ValueError, match="times_seconds"):
        read_frames(path, [])
    with pytest.raises(ValueError, match="times_seconds"):
        read_frames(path, [float("nan")])
    with pytest.raises(ValueError, match="fps"):
        stream_frames(path, fps=0.0)


def test_a_cut_off_picture_gives_what_there_is(make_media):
    count = 100
    path = make_media(
        "a.mkv",
        levels=[2 * index for index in range(count)],
        times_seconds=[index / 10 for index in range(count)],
        video_codec="ffv1",
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = read_frames(path, [0.0, 9.9])
    assert level(frames[0]) == pytest.approx(0, abs=2)
    assert 60 < level(frames[1]) < 140


def test_a_picture_file_is_a_video_of_one_frame(tmp_path):
    from PIL import Image

    Image.new("RGB", (30, 20), (10, 200, 30)).save(tmp_path / "a.png")
    assert read_frames(Path(tmp_path / "a.png"), [5.0]).shape == (1, 20, 30, 3)
