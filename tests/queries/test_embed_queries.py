"""Queries by place and by video: what is looked at, through which embedding, and what comes of it in files, reports and
errors.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from clip_folders import RATE_HZ, MeanColour, tone, write_clip
from PIL import Image

import trisep
from trisep import cli
from trisep.checkpoints.format import save_model
from trisep.errors import MediaError, QueryError
from trisep.media.audio_writer import write_audio
from trisep.media.video import read_frames, write_video
from trisep.models.clipsep import CLIPSep, Config
from trisep.queries import video
from trisep.queries.embed import (
    all_of,
    as_queries,
    embed_queries,
    flattened,
    query_entry,
    span_query,
    split_words,
    video_query,
)
from trisep.separation import separator as separate
from trisep.separation.options import SeparationOptions
from trisep.separation.separator import Separator
from trisep.separation.source import open_source
from trisep.types import Audio, MaskOutput, Place, Query, QueryEmbedding, SignalSettings

RED, BLUE, GREEN, WHITE = (200, 20, 20), (20, 20, 200), (20, 200, 20), (220, 220, 220)
COLOUR_TOLERANCE = 12
"""What H.264 makes of a colour."""


class Colours(MeanColour):
    """Colours of pictures and cells; words by their letters."""

    token_table = None

    def __init__(self) -> None:
        super().__init__()
        self.num_pictures = 0

    def encode_image(self, frames: Sequence[np.ndarray]) -> torch.Tensor:
        self.num_pictures += len(frames)
        return super().encode_image(frames)

    def encode_regions(self, frames: Sequence[np.ndarray]) -> torch.Tensor:
        self.num_pictures += len(frames)
        return super().encode_regions(frames)

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.stack(
            [torch.randn(3, generator=torch.Generator().manual_seed(sum(text.encode()))) for text in texts]
        )

    def token_word(self, token_id: int) -> str:
        raise AssertionError("nothing here asks for it")


class RegionReader(CLIPSep):
    """Reads a video's regions, by their mean, so that it must agree with the model that reads the mean."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.contract = replace(self.contract, reads="regions")

    def forward(self, log_magnitude: torch.Tensor, query: QueryEmbedding) -> MaskOutput:
        assert (query.vectors is None) != (query.regions is None)
        if query.regions is None:
            return super().forward(log_magnitude, query)
        assert query.regions.shape[2:5] == (4, 7, 7)
        return replace(
            super().forward(log_magnitude, QueryEmbedding(vectors=query.regions.mean(dim=(2, 3, 4)))), logits=None
        )


def halves(left: tuple[int, int, int], right: tuple[int, int, int]) -> np.ndarray:
    """A picture of 56 × 112: cells of 8 × 16 pixels."""
    picture = np.empty((56, 112, 3), np.uint8)
    picture[:, :56], picture[:, 56:] = left, right
    return picture


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds, red and blue side by side, then green and white."""
    path = tmp_path_factory.mktemp("clip") / "duet.mp4"
    sound = np.random.default_rng(0).normal(0, 0.1, (1, 2 * RATE_HZ)).astype(np.float32)
    write_video(path, [halves(RED, BLUE)] * 8 + [halves(GREEN, WHITE)] * 8, fps=8, audio=Audio(sound, RATE_HZ))
    return path


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    model = replace(Config.tiny(), embedding_dim=3, query_scale=0.02).build()
    folder = tmp_path_factory.mktemp("model") / "tiny"
    card = {"signal": asdict(SignalSettings()), "encoder": "lite", "encoder_fingerprint": "mean-colour"}
    save_model(folder, model, model_name="clipsep", card=card)
    return folder


@pytest.fixture
def separator(checkpoint: Path) -> Separator:
    return trisep.load(checkpoint, device="cpu", encoder=Colours())


@pytest.fixture
def command(checkpoint: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Runs `trisep separate` beside the clip, a sound and a photograph; returns the exit code."""
    monkeypatch.setattr(separate, "load_encoder", lambda name: Colours())
    monkeypatch.chdir(tmp_path)
    os.symlink(clip, "duet.mp4")
    write_audio(tmp_path / "sound.wav", tone(0.5), subtype="wav_float32")
    Image.new("RGB", (20, 10), "red").save("photo.png")
    return lambda *words: cli.main(["separate", *words, "--model", str(checkpoint)])


def colour(clip: Path, place: Place) -> np.ndarray:
    return embed_queries(Colours(), [Query("here", place=place)], source=clip).vectors[0].numpy()


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (Place(0.25, 0.5, time_seconds=0.3), RED),
        (Place(0.75, 0.1, time_seconds=0.3), BLUE),
        (Place(0.25, 1.0, time_seconds=1.9), GREEN),
        (Place(100, 50, time_seconds=2.0, in_pixels=True), WHITE),
        (Place(0.25, 0.5), np.mean([RED, GREEN], axis=0)),
        (Place(80, 0, in_pixels=True), np.mean([BLUE, WHITE], axis=0)),
        (Place(0.0, 0.0, 0.5, 1.0, time_seconds=0.0), RED),
        (Place(0.25, 0.25, 0.5, 0.5, time_seconds=0.0), np.mean([RED, BLUE], axis=0)),
        (Place(60, 0, 52, 56, in_pixels=True), np.mean([BLUE, WHITE], axis=0)),
    ],
)
def test_a_place_is_what_is_seen_there(clip: Path, place: Place, expected: Sequence[float]) -> None:
    np.testing.assert_allclose(colour(clip, place), expected, atol=COLOUR_TOLERANCE)


def test_a_video_is_the_mean_of_its_frames_or_its_regions(clip: Path, tmp_path: Path) -> None:
    write_clip(tmp_path / "other.mp4", seed=5, sound=False)
    queries = [video_query(tmp_path / "other.mp4"), Query("all", video=clip), Query("word", text="word")]
    mean = embed_queries(Colours(), queries, source=clip)
    assert mean.regions is None and mean.order == (0, 1, 2) and mean.vectors.shape == (3, 3)
    np.testing.assert_allclose(mean.vectors[1], np.mean([RED, BLUE, GREEN, WHITE], axis=0), atol=COLOUR_TOLERANCE)
    times = [0.25, 0.75, 1.25, 1.75]
    np.testing.assert_allclose(
        mean.vectors[0], read_frames(tmp_path / "other.mp4", times).mean(axis=(0, 1, 2)), atol=0.01
    )
    regions = embed_queries(Colours(), queries, source=clip, reads_regions=True)
    assert regions.regions is not None and regions.regions.shape == (2, 4, 7, 7, 3) and regions.order == (1, 2, 0)
    np.testing.assert_allclose(regions.regions.mean(dim=(1, 2, 3)), mean.vectors[:2], atol=0.01)
    np.testing.assert_allclose(regions.vectors[0], mean.vectors[2])


def test_frames_are_read_once_for_all_and_told(clip: Path) -> None:
    encoder = Colours()
    queries = [
        Query("a", place=Place(0.1, 0.5)),
        Query("b", place=Place(0.9, 0.5, time_seconds=1.0)),
        Query("c", place=Place(0.9, 0.5)),
        Query("d", place=Place(0.0, 0.0, 0.5, 0.5, time_seconds=0.25)),
    ]
    embedded = embed_queries(encoder, queries, source=clip)
    assert embedded.frame_times_seconds == (0.25, 0.75, 1.0, 1.25, 1.75)
    assert embedded.frames is not None and embedded.frames.shape == (5, 56, 112, 3)
    assert encoder.num_pictures == 5 + 1
    words = embed_queries(encoder, [Query("word", text="word")], source=Path("absent.mp4"))
    assert words.frames is None and words.frame_times_seconds == ()


def rotated_video(path: Path, times_seconds: Sequence[float]) -> Path:
    """Coded 48 high and 64 wide, to be shown upright; dark with a bright corner, at irregular times."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.set_display_rotation(90)
        stream.codec_context.time_base, stream.codec_context.max_b_frames = Fraction(1, 1000), 0
        for number, time_seconds in enumerate(times_seconds):
            pixels = np.full((48, 64, 3), 20 * number, np.uint8)
            pixels[:16, :20] = 250
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(time_seconds * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_coordinates_belong_to_the_picture_as_shown(tmp_path: Path) -> None:
    path = rotated_video(tmp_path / "phone.mp4", [0.0, 0.1, 0.8, 2.0])
    shown = read_frames(path, [0.0])[0]
    assert shown.shape == (64, 48, 3)
    at_left, at_top = shown[:, :12].mean() > shown[:, -12:].mean(), shown[:12].mean() > shown[-12:].mean()
    bright = Place(3 if at_left else 44, 3 if at_top else 60, in_pixels=True)
    opposite = Place(44 if at_left else 3, 60 if at_top else 3, in_pixels=True)
    assert colour(path, bright).mean() > 200 and colour(path, replace(opposite, time_seconds=0.0)).mean() < 20
    for time_seconds, level in ((0.04, 0), (0.07, 20), (0.6, 40), (1.3, 40), (1.5, 60)):
        assert colour(path, replace(opposite, time_seconds=time_seconds)).mean() == pytest.approx(level, abs=8)
    with pytest.raises(QueryError, match="48 × 64 pixels as shown"):
        colour(path, Place(60, 3, in_pixels=True))


def test_the_two_runs_are_put_in_order(separator: Separator, clip: Path) -> None:
    queries = [
        "word",
        Query("all", video=clip),
        Query("left", place=Place(0.25, 0.5)),
        "dog",
        Query("same", video=clip),
    ]
    plain = separator.separate(clip, queries, options=SeparationOptions(exclusive=False))
    reader = RegionReader(separator.model.config).eval()
    reader.load_state_dict(separator.model.state_dict())
    by_regions = Separator(replace(separator.checkpoint, model=reader), Colours())
    mixed = by_regions.separate(clip, queries, options=SeparationOptions(exclusive=False))
    assert list(mixed.stems) == ["word", "all", "left", "dog", "same"]
    assert len({float(masks.mean()) for masks in plain.masks}) == 4
    np.testing.assert_allclose(mixed.masks, plain.masks, atol=1e-4)
    for name, stem in mixed.stems.items():
        assert stem.presence == pytest.approx(plain.stems[name].presence, abs=1e-3)
    alone = by_regions.separate(clip, [Query("all", video=clip)], options=SeparationOptions(exclusive=False))
    np.testing.assert_allclose(alone.masks[0], plain.masks[1], atol=1e-4)


def test_python_gives_stems_by_place_and_the_frames(separator: Separator, clip: Path) -> None:
    result = separator.separate(str(clip), ["violin", Query("left", place=Place(x=0.25, y=0.5))])
    assert list(result.stems) == ["violin", "left"]
    assert result.frames is not None and result.frames.shape == (4, 56, 112, 3)
    assert result.frame_times_seconds == pytest.approx((0.25, 0.75, 1.25, 1.75))
    total = sum(stem.audio.samples for stem in result.stems.values()) + result.residual.samples
    np.testing.assert_allclose(total, result.mixture.samples, atol=1e-6)
    words = separator.separate(clip, ["violin"])
    assert words.frames is None and words.frame_times_seconds == ()


def test_wrong_places_from_python(separator: Separator, clip: Path, tmp_path: Path) -> None:
    left = Query("left", place=Place(x=0.25, y=0.5))
    with pytest.raises(QueryError, match="'left' points into a picture, and a sound in memory has none"):
        separator.separate(tone(0.5), [left])
    with pytest.raises(QueryError, match="'left' points into a picture"):
        separator.embed([left])
    with pytest.raises(QueryError, match=r"query 'left' lies outside .*for pixels write px"):
        separator.separate(clip, [Query("left", place=Place(x=320, y=180))])
    with pytest.raises(QueryError, match=r"duet\.mp4: query 'left' refers to 2\.5 s, but the file ends at 2"):
        separator.separate(clip, [Query("left", place=Place(x=0.2, y=0.1, time_seconds=2.5))])


def test_names_and_kinds(clip: Path) -> None:
    picture = np.zeros((3, 3, 3), np.uint8)
    asked = as_queries(
        [
            "a",
            Query("a", place=Place(0, 0)),
            Query("b", place=Place(0, 0, 1, 1)),
            Query("c", image=picture),
            video_query(clip),
        ]
    )
    assert [query.name for query in asked] == ["a", "a_2", "b", "c", "duet"]
    assert [query_entry(query)["kind"] for query in asked] == ["text", "region", "box", "image", "video"]


def test_the_command_takes_every_kind_at_once(command, capsys: pytest.CaptureFixture[str]) -> None:
    words = "duet.mp4 violin --image photo.png --region 0.25,0.5 --region 100px,30px,1.5 --box 0,0,0.5,1"
    words += " --video duet.mp4 --out out --quiet"
    assert command(*words.split()) == 0
    assert capsys.readouterr() == ("", "")
    names = ["violin", "photo", "region_0_25_0_5", "region_100px_30px_1_5", "box_0_0_0_5_1", "duet"]
    assert sorted(os.listdir("out")) == sorted([*(f"{name}.wav" for name in names), "residual.wav", "report.json"])
    report = json.loads(Path("out/report.json").read_text())
    assert report["schema"] == 1
    assert [stem["file"] for stem in report["stems"]] == [f"{name}.wav" for name in names]
    assert [stem["kind"] for stem in report["stems"]] == ["text", "image", "region", "region", "box", "video"]
    assert report["stems"][3]["query"] == "region 100px,30px,1.5"
    assert report["stems"][3]["place"] == {"x": 100.0, "y": 30.0, "time_seconds": 1.5, "unit": "pixel"}
    assert "place" not in report["stems"][0]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("duet.mp4 --region 1.5,0.5", "for pixels write px"),
        ("duet.mp4 --region=-0.5,0.5", "outside the picture"),
        (
            "duet.mp4 --region 500px,10px",
            "duet.mp4: query 'region 500px,10px' lies outside the picture, which is 112 × 56 pixels",
        ),
        ("duet.mp4 --region left", "expected X,Y[,T]"),
        ("duet.mp4 --region 0.5,0.5,9", "duet.mp4: query 'region 0.5,0.5,9' refers to 9 s, but the file ends at 2"),
        ("duet.mp4 --box 0.2,0.2,0,0", "no area"),
        ("duet.mp4 --box 0.5,0.5,0.6,0.2", "outside the picture"),
        ("duet.mp4 --box 100px,0px,20px,20px", "112 × 56 pixels"),
        ("sound.wav --region 0.5,0.5", "sound.wav: holds no picture for query 'region 0.5,0.5'"),
        ("sound.wav --box 0,0,1,1", "sound.wav: holds no picture for query 'box 0,0,1,1'"),
        ("sound.wav --video sound.wav", "sound.wav: holds no picture for query 'sound'"),
        ("duet.mp4 --video sound.wav", "sound.wav: holds no picture for query 'sound'"),
        ("duet.mp4 --video absent.mp4", "absent.mp4: no such file"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line_and_leaves_nothing(command, words: str, expected: str, capsys) -> None:
    assert command(*words.split(), "--out", "out") == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.startswith("trisep: error: ") and output.err.count("\n") == 1
    assert expected in output.err
    assert not Path("out").exists()


def test_a_batch_skips_inputs_in_which_the_place_is_not(command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("duet.mp4", "--also", "sound.wav", "--region", "0.5,0.5,1", "--out", "out") == 1
    assert "trisep: skipped: sound.wav: holds no picture" in capsys.readouterr().err
    batch = json.loads(Path("out/batch.json").read_text())
    assert [entry["folder"] for entry in batch["inputs"]] == ["duet", None]
    assert Path("out/duet/region_0_5_0_5_1.wav").is_file()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("violin and piano", ["violin", "piano"]),
        ("violin AND piano & dog+cat", ["violin", "piano", "dog", "cat"]),
        ("violin, and piano", ["violin", "piano"]),
        ("sandpaper", None),
        ("hand and", None),
        ("and", None),
        ("dog + ?", None),
    ],
)
def test_words_are_split_where_they_name_several_sounds(words: str, parts: list[str] | None) -> None:
    query = split_words(Query(words, text=words))
    assert query.name == words
    assert (None if query.parts is None else [part.text for part in query.parts]) == parts


def test_parts_stand_in_one_list_and_each_query_knows_its_own() -> None:
    dog, pair = Query("dog", text="dog"), split_words(Query("a and b", text="a and b"))
    parts, groups = flattened([dog, pair, all_of([dog, pair])])
    assert [part.name for part in parts] == ["dog", "a", "b", "dog", "a", "b"]
    assert groups == [[0], [1, 2], [3, 4, 5]]
    assert all_of([dog, pair]).name == "dog and a and b"
    assert query_entry(pair) == {"kind": "all_of", "parts": ["a", "b"]}


def test_spans_as_people_write_them() -> None:
    query = span_query(" 3.0-4.5 ")
    assert (query.name, query.span) == ("3.0-4.5 s", (3.0, 4.5))
    assert query_entry(query) == {"kind": "span", "span_seconds": [3.0, 4.5]}
    clock = span_query("1:03 - 1:04.5")
    assert (clock.name, clock.span) == ("1:03-1:04.5", (63.0, 64.5))
    for words in ("", "3", "3-", "-3", "a-b", "1:60-2:00", "3-1e3", "1-2-3"):
        with pytest.raises(QueryError, match="expected two times in seconds, such as 3.0-4.5"):
            span_query(words)
    for words in ("4-3", "3-3"):
        with pytest.raises(QueryError, match="the first before the second"):
            span_query(words)


def test_a_query_without_parts_or_of_two_kinds_is_refused() -> None:
    with pytest.raises(QueryError, match="has no parts"):
        Query("none", parts=())
    with pytest.raises(QueryError, match="exactly one of them"):
        Query("two", text="two", span=(0.0, 1.0))


@pytest.mark.parametrize(
    ("picture", "form"),
    [
        (np.zeros((3, 4), np.uint8), r"uint8 \[3, 4\]"),
        (np.zeros((3, 4, 4), np.uint8), r"uint8 \[3, 4, 4\]"),
        (np.zeros((3, 4, 3), np.float32), r"float32 \[3, 4, 3\]"),
        (np.zeros((0, 4, 3), np.uint8), r"uint8 \[0, 4, 3\]"),
        ("photo.jpg", "str"),
    ],
)
def test_a_picture_that_is_none_is_refused(picture: object, form: str, unchecked_shapes: None) -> None:
    with pytest.raises(QueryError, match=f"query 'it': a picture is uint8 .height, width, 3., 0 to 255, not {form}$"):
        Query("it", image=picture)  # type: ignore[arg-type]


def test_a_vector_of_another_space_is_refused() -> None:
    with pytest.raises(QueryError, match=r"query 'it': a vector of the encoder's space is \[\d+\], not \[777\]"):
        embed_queries(Colours(), [Query("it", vector=torch.zeros(777))])


@pytest.mark.parametrize("rate_hz", [0, -1, 49, 768_001])
def test_a_sound_in_memory_has_a_rate(rate_hz: int) -> None:
    with pytest.raises(MediaError, match=f"the sound in memory has {rate_hz} samples a second; expected from 50 to"):
        open_source(Audio(np.zeros((1, 9), np.float32), rate_hz))


def test_pictures_and_videos_are_embedded_once_for_all_files_of_a_batch(
    command, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, read = Colours(), []
    monkeypatch.setattr(separate, "load_encoder", lambda name: looking)
    monkeypatch.setattr(video, "read_frames", lambda *given: read.append(given[0]) or read_frames(*given))
    (tmp_path / "other.mp4").write_bytes(clip.read_bytes() + b"another file")
    for name in ("a", "b"):
        write_audio(tmp_path / f"{name}.wav", tone(0.5), subtype="wav_float32")
    queries = ["--image", "photo.png", "--video", "other.mp4", "--video", "duet.mp4"]
    assert command("sound.wav", *queries, "--also", "a.wav", "b.wav", "duet.mp4", "--out", "out") == 0
    # One photograph, four frames of each video, and the four of the file that is its own query.
    assert looking.num_pictures == 1 + 4 + 4 + 4 and len(read) == 3
    Image.new("RGB", (20, 10), "blue").save("photo.png")
    assert command("sound.wav", "--image", "photo.png", "--out", "blue") == 0
    assert looking.num_pictures == 14
