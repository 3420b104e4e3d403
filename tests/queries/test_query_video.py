"""The frames that queries look at: when, which part of them, read once for all, and what cannot be looked at."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_folders import RATE_HZ, MeanColour, tone

from trisep.errors import MediaError, QueryError
from trisep.media.audio_writer import write_audio
from trisep.media.video import write_video
from trisep.queries import video
from trisep.queries.video import QueryFrames, probe_picture
from trisep.types import Audio, Place, Query

COLOUR_TOLERANCE = 8
"""What H.264 makes of a grey level."""
LEVELS = [20, 40, 60, 80, 120, 140, 160, 180]
"""Grey of each frame, four a second; the right half is 60 brighter."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of picture, three of sound; 42 high and 84 wide, so that a cell is 6 × 12 pixels."""
    frames = [np.full((42, 84, 3), level, np.uint8) for level in LEVELS]
    for frame in frames:
        frame[:, 42:] += 60
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_video(path, frames, fps=4, audio=tone(3.0))
    return path


def looking(source: Path | None, *queries: Query) -> QueryFrames:
    return QueryFrames(MeanColour(), source, queries)


def at(x: float, y: float, width: float = 0.0, height: float = 0.0, **others: object) -> Query:
    """A query for a place, called here."""
    return Query("here", place=Place(x, y, width, height, **others))  # type: ignore[arg-type]


def shown(vector: torch.Tensor) -> float:
    """The grey that an embedding stands for."""
    assert vector.shape == (3,)
    return float(vector.mean())


def test_words_and_pictures_open_no_file() -> None:
    frames = looking(Path("absent.mp4"), Query("a", text="a"), Query("b", image=np.zeros((2, 2, 3), np.uint8)))
    assert frames.times_seconds == ()


def test_the_middles_of_four_equal_parts_of_the_picture(clip: Path) -> None:
    for query in (at(0.5, 0.5), at(0.0, 0.0, 1.0, 1.0), Query("all", video=clip)):
        assert looking(clip, query).times_seconds == pytest.approx((0.25, 0.75, 1.25, 1.75))


def test_times_that_are_told_are_looked_at_in_order_and_once(clip: Path) -> None:
    queries = [at(0.1, 0.1, time_seconds=1.0), at(0.9, 0.1, time_seconds=0.0), at(0.5, 0.5, time_seconds=1.0)]
    assert looking(clip, *queries).times_seconds == (0.0, 1.0)
    assert looking(clip, *queries, at(0.1, 0.2)).times_seconds == pytest.approx((0.0, 0.25, 0.75, 1.0, 1.25, 1.75))


def test_frames_are_read_once_for_all_queries(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Sequence[float]] = []
    original = video.read_frames

    def spy(path: Path, times_seconds: Sequence[float]) -> np.ndarray:
        reads.append(times_seconds)
        return original(path, times_seconds)

    monkeypatch.setattr(video, "read_frames", spy)
    point, box, whole = at(0.1, 0.5), at(0.5, 0.0, 0.5, 1.0, time_seconds=0.5), Query("all", video=clip)
    frames = looking(clip, point, box, whole)
    assert reads == []
    assert point.place is not None and box.place is not None
    frames.region(point.place, point)
    frames.vector(box)
    frames.shown(whole)
    frames.video_grids(whole)
    assert reads == [frames.times_seconds]


@pytest.mark.parametrize(
    ("query", "grey"),
    [
        (at(0.25, 0.5, time_seconds=0.0), 20),
        (at(0.75, 0.5, time_seconds=0.0), 80),
        (at(83, 0, time_seconds=1.0, in_pixels=True), 180),
        (at(0.25, 0.5, time_seconds=1.99), 180),
        (at(0.25, 0.5, time_seconds=3.0), 180),
        (at(0.25, 0.5), (40 + 80 + 140 + 180) / 4),
        (at(0.75, 0.5), (40 + 80 + 140 + 180) / 4 + 60),
    ],
)
def test_a_point_is_its_cell_over_the_frames(clip: Path, query: Query, grey: float) -> None:
    assert query.place is not None
    assert shown(looking(clip, query).region(query.place, query)) == pytest.approx(grey, abs=COLOUR_TOLERANCE)


def test_the_cell_of_a_point_is_of_one_seventh(clip: Path) -> None:
    frames = looking(clip, at(0.5, 0.5, time_seconds=0.0))
    # The fourth of seven cells, 3/7 to 4/7, holds the edge in the middle: half dark, half bright.
    for x, expected in ((0.4, 20), (0.43, 50), (0.5, 50), (0.57, 50), (0.6, 80)):
        found = shown(frames.region(Place(x, 0.5, time_seconds=0.0), at(0.5, 0.5)))
        assert found == pytest.approx(expected, abs=COLOUR_TOLERANCE)


def test_a_box_is_cut_out_of_each_frame_in_full_size(clip: Path) -> None:
    query = at(0.25, 0.5, 0.5, 0.25, time_seconds=1.0)
    assert query.place is not None
    frames = looking(clip, query)
    (cut,) = frames.shown(query)
    assert cut.shape == (11, 42, 3)  # rows 21 to 31.5, widened to whole pixels
    np.testing.assert_array_equal(cut, frames.frames[0][21:32, 21:63])
    assert shown(frames.vector(query)) == pytest.approx(150, abs=COLOUR_TOLERANCE)
    everywhere = at(0.0, 0.0, 0.5, 1.0)
    assert everywhere.place is not None
    watched = looking(clip, everywhere)
    assert len(watched.shown(everywhere)) == 4
    mean = np.mean([frame[:, :42] for frame in watched.frames])
    assert shown(watched.vector(everywhere)) == pytest.approx(mean, abs=0.01)


def test_a_video_that_is_the_source_shares_its_frames(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clip.parent)
    for same in (clip, Path("clip.mp4"), Path("..") / clip.parent.name / "clip.mp4"):
        query = Query("all", video=same)
        frames = looking(clip, query, at(0.1, 0.1, time_seconds=0.0))
        assert len(frames.times_seconds) == 5
        np.testing.assert_array_equal(frames.shown(query), frames.frames[1:])
        grids = frames.video_grids(query)
        assert grids.shape == (4, 7, 7, 3)
        assert float(grids[0, 3, 0].mean()) == pytest.approx(float(frames.frames[1][18:24, :12].mean()), abs=0.01)


def test_another_video_is_looked_at_by_itself(clip: Path, tmp_path: Path) -> None:
    greys = [np.full((14, 14, 3), grey, np.uint8) for grey in (50, 100, 150, 200)]
    write_video(tmp_path / "other.mp4", greys, fps=2)
    query = Query("other", video=tmp_path / "other.mp4")
    for source in (clip, None):
        frames = looking(source, query)
        assert frames.times_seconds == ()
        seen = frames.shown(query)
        # The middles of quarters of two seconds lie between frames at 0, 0.5, 1 and 1.5; of two, the earlier.
        assert [float(frame.mean()) for frame in seen] == pytest.approx([50, 100, 150, 200], abs=COLOUR_TOLERANCE)
        assert frames.video_grids(query).shape == (4, 7, 7, 3)


def test_what_cannot_be_looked_at(clip: Path, tmp_path: Path) -> None:
    write_audio(tmp_path / "sound.wav", Audio(np.zeros((1, 800), np.float32), RATE_HZ), subtype="wav_float32")
    with pytest.raises(QueryError, match="^query 'here' points into a picture, and a sound in memory has none: give"):
        looking(None, at(0.5, 0.5))
    with pytest.raises(QueryError, match="sound.wav: holds no picture for query 'here'; give a video"):
        looking(tmp_path / "sound.wav", at(0.5, 0.5))
    with pytest.raises(QueryError, match="sound.wav: holds no picture for query 'sound'; give"):
        looking(tmp_path / "sound.wav", Query("sound", video=tmp_path / "sound.wav"))
    with pytest.raises(MediaError, match="absent.mp4: no such file"):
        looking(clip, query := Query("absent", video=tmp_path / "absent.mp4")).shown(query)
    with pytest.raises(QueryError, match=r"clip.mp4: query 'here' refers to 3\.5 s, but the file ends at 3"):
        looking(clip, at(0.5, 0.5), at(0.5, 0.5, time_seconds=3.5))
    for query in (at(1.5, 0.5), at(0.5, 0.5, 0.6, 0.1), at(0.1, 0.1, 0.2, 0.0), at(0.1, 0.1, time_seconds=-1.0)):
        with pytest.raises(QueryError, match="^query 'here'"):
            looking(Path("absent.mp4"), query)
    outside = at(90, 10, in_pixels=True)
    assert outside.place is not None
    with pytest.raises(QueryError, match="clip.mp4: query 'here' lies outside the picture, which is 84 × 42 pixels"):
        looking(clip, outside).region(outside.place, outside)


def test_what_is_in_a_file_with_a_picture(clip: Path) -> None:
    info = probe_picture(clip, at(0.5, 0.5))
    assert info.video[0].duration_seconds == pytest.approx(2.0) and info.duration_seconds == pytest.approx(3.0, abs=0.1)
