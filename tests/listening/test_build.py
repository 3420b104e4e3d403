"""The page and its key: what a rater's file holds, that it says nothing of the models, and what the verb refuses."""

import base64
import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from trisep import cli
from trisep.commands.listening_test import BuildArguments
from trisep.errors import ConfigError, MediaError
from trisep.listening import clips as clips_module
from trisep.listening.build import build_test
from trisep.listening.clips import ListeningClip, clips_from_models, clips_from_table
from trisep.listening.key import read_key
from trisep.media.video_writer import write_video
from trisep.separation.separator import Separator
from trisep.types import Audio, Query, Separation, Stem

RATE_HZ = 8000
HEADER = ("model", "query_kind", "file", "label_a", "label_b")


def tone(hz: float, peak: float = 0.5, rate_hz: int = RATE_HZ) -> Audio:
    """A tenth of a second of a sine."""
    time_seconds = np.arange(rate_hz // 10) / rate_hz
    return Audio((peak * np.sin(2 * np.pi * hz * time_seconds)).astype(np.float32)[None], rate_hz)


def clip(
    model: str = "secret-model", kind: str = "text", a: str = "violin", b: str = "dog", audio: Audio | None = None
) -> ListeningClip:
    return ListeningClip(
        model=model, query_kind=kind, label_a=a, label_b=b, file="hidden/place.wav", audio=audio or tone(440)
    )


def page_of(out: Path) -> tuple[str, dict[str, object], list[dict[str, object]]]:
    """The page's text without its data, and the data."""
    text = (out / "page" / "index.html").read_text(encoding="utf-8")
    match = re.search(r'<script id="test" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert match
    data = json.loads(match[1])
    return text.replace(match[1], ""), data, data["samples"]


def write_table(folder: Path, rows: list[tuple[str, ...]], header: tuple[str, ...] = HEADER) -> Path:
    with (folder / "samples.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return folder / "samples.csv"


def test_the_page_holds_every_clip_under_the_name_that_the_key_explains(tmp_path: Path) -> None:
    made = [
        clip(audio=tone(440)),
        clip("other-model", "image", "dog", "violin", tone(220)),
        clip("mixture", "mixture", "tuba", "rain"),
    ]
    build_test(made, tmp_path)
    _, _, samples = page_of(tmp_path)
    key = read_key(tmp_path / "key.csv")
    assert [(row.model, row.query_kind, row.label_a, row.label_b) for row in key.values()] == [
        ("secret-model", "text", "violin", "dog"),
        ("other-model", "image", "dog", "violin"),
        ("mixture", "mixture", "tuba", "rain"),
    ]
    assert {sample["id"] for sample in samples} == set(key)
    sounds = {row.model: made_clip.audio for row, made_clip in zip(key.values(), made, strict=True)}
    for sample in samples:
        samples_read, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(str(sample["sound"]))), dtype="float32")
        expected = sounds[key[str(sample["id"])].model]
        assert rate_hz == RATE_HZ
        np.testing.assert_allclose(samples_read, expected.samples[0], atol=1 / 32768)


def test_nothing_in_the_page_tells_models_or_questions_apart(tmp_path: Path) -> None:
    made = [
        clip(f"secret-model-{index}", "text", *names)
        for index in range(4)
        for names in (("violin", "dog"), ("dog", "violin"))
    ]
    build_test(made, tmp_path)
    _, data, samples = page_of(tmp_path)
    assert set(data) == {"id", "samples"}
    assert all(set(sample) == {"id", "names", "sound"} for sample in samples)
    # The order of the names does not say which was asked for, nor the order of clips which model made them.
    assert all(sample["names"] == ["dog", "violin"] for sample in samples)
    assert [sample["id"] for sample in samples] == sorted(str(sample["id"]) for sample in samples)
    everything = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert "secret-model" not in everything and "hidden/place" not in everything
    assert [path.name for path in (tmp_path / "page").iterdir()] == ["index.html"]


def test_the_page_asks_for_nothing_from_outside(tmp_path: Path) -> None:
    build_test([clip()], tmp_path)
    text, _, _ = page_of(tmp_path)
    assert "default-src 'none'" in text
    assert re.findall(r"https?://|//[a-z]|@import|url\(", text) == []
    assert re.findall(r'\b(?:src|href)="(?!data:,)', text) == []


def test_the_same_clips_make_the_same_page_and_others_share_no_name(tmp_path: Path) -> None:
    for name, audio in (("one", tone(440)), ("two", tone(440)), ("three", tone(330))):
        build_test([clip(audio=audio), clip("mixture", "mixture", audio=audio)], tmp_path / name)
    keys = {name: set(read_key(tmp_path / name / "key.csv")) for name in ("one", "two", "three")}
    assert keys["one"] == keys["two"] and len(keys["one"]) == 2
    assert not keys["one"] & keys["three"]
    assert page_of(tmp_path / "one")[1]["id"] != page_of(tmp_path / "three")[1]["id"]


def test_one_gain_for_all_keeps_levels_apart_and_nothing_clips(tmp_path: Path) -> None:
    build_test([clip("loud", audio=tone(500, peak=1.78)), clip("soft", audio=tone(500, peak=0.178))], tmp_path)
    key = read_key(tmp_path / "key.csv")
    peaks = {}
    for sample in page_of(tmp_path)[2]:
        read, _ = soundfile.read(io.BytesIO(base64.b64decode(str(sample["sound"]))))
        peaks[key[str(sample["id"])].model] = np.abs(read).max()
    assert peaks["loud"] == pytest.approx(0.89, abs=1e-3)
    assert peaks["soft"] == pytest.approx(0.089, abs=1e-3)


def test_a_name_cannot_end_the_script_that_holds_it(tmp_path: Path) -> None:
    build_test([clip(a="</script><b>", b="dog")], tmp_path)
    assert page_of(tmp_path)[2][0]["names"] == ["</script><b>", "dog"]


def test_clips_come_from_a_table_at_one_rate(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(440).samples[0], RATE_HZ, subtype="FLOAT")
    soundfile.write(tmp_path / "b.flac", np.stack([tone(440, rate_hz=16000).samples[0]] * 2, axis=1), 16000)
    write_table(
        tmp_path, [("nit", "text", "a.wav", "violin", "dog"), ("mixture", "mixture", "b.flac", "dog", "violin")]
    )
    for place in (tmp_path, tmp_path / "samples.csv"):
        first, second = clips_from_table(place)
        assert (first.model, first.query_kind, first.label_a, first.label_b, first.file) == (
            "nit",
            "text",
            "violin",
            "dog",
            "a.wav",
        )
        assert second.query_kind == "mixture"
        assert [made.audio.samples.shape for made in (first, second)] == [(1, 1600), (1, 1600)]
        assert [made.audio.sample_rate_hz for made in (first, second)] == [16000, 16000]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("nit", "text", "a.wav", "violin", "violin"), "two different names"),
        (("nit", "text", "a.wav", "violin", " "), "two different names"),
        (("nit", "text", "a.wav", "Both", "dog"), "cannot be called 'both'"),
        (("nit", "smell", "a.wav", "violin", "dog"), "image, text, mixture, got 'smell'"),
        (("nit", "text", "a.wav", "violin"), "line 2 has fewer values"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(tmp_path: Path, row: tuple[str, ...], message: str) -> None:
    soundfile.write(tmp_path / "a.wav", tone(440).samples[0], RATE_HZ)
    with pytest.raises(ConfigError, match=message) as told:
        clips_from_table(table := write_table(tmp_path, [row]))
    assert str(told.value).startswith(f"{table}: ")


def test_missing_files_columns_and_lines_are_named(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"csv: .*absent.wav"):
        clips_from_table(write_table(tmp_path, [("nit", "text", "absent.wav", "violin", "dog")]))
    with pytest.raises(ConfigError, match="lacks the column label_b"):
        clips_from_table(write_table(tmp_path, [("nit", "text", "a.wav", "violin")], HEADER[:4]))
    with pytest.raises(ConfigError, match="no line below its header"):
        clips_from_table(write_table(tmp_path, []))
    with pytest.raises(ConfigError, match="is not a file"):
        clips_from_table(tmp_path / "nowhere.csv")


def test_sounds_that_are_not_finite_and_empty_tests_are_refused(tmp_path: Path) -> None:
    broken = Audio(np.array([[0.0, np.nan]], np.float32), RATE_HZ)
    with pytest.raises(MediaError, match="'secret-model' holds values that are not finite"):
        build_test([clip(audio=broken)], tmp_path)
    with pytest.raises(ConfigError, match="at least one clip"):
        build_test([], tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(MediaError, match="cannot be written"):
        build_test([clip()], tmp_path / "file")


def test_a_page_that_cannot_be_written_leaves_no_key_which_would_stop_the_next_run(tmp_path: Path) -> None:
    (tmp_path / "page" / "index.html").mkdir(parents=True)
    with pytest.raises(MediaError, match="index.html"):
        build_test([clip()], tmp_path)
    assert not (tmp_path / "key.csv").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "either --samples, or --model"),
        ({"model": ("default",), "samples": Path("x")}, "either --samples, or --model"),
        ({"model": ("default",)}, "--model needs --data"),
        ({"model": ("default",), "data": Path("x"), "count": 0}, "--count must be above 0"),
    ],
)
def test_a_command_that_names_no_clips_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BuildArguments(out=Path("out"), **given)  # type: ignore[arg-type]


class FakeSeparator(Separator):
    """Remembers what it was asked and returns half of the mixture."""

    def __init__(self, name: str) -> None:
        self.model_name = name
        self.asked: list[tuple[str, str]] = []

    def separate(self, source: Audio, queries: list[Query]) -> Separation:  # type: ignore[override]
        (query,) = queries
        self.asked.append((query.name, "text" if query.text is not None else "image"))
        audio = Audio(source.samples * np.float32(0.5), source.sample_rate_hz)
        stem = Stem(query.name, audio, -20.0, 1.0, True, 0.1, ())
        return Separation(
            stems={query.name: stem},
            residual=audio,
            mixture=source,
            masks=np.zeros((1, 256, 1), np.float32),
            notes=("'dog': is nonsense",) if query.text == "dog" else (),
        )


@pytest.fixture
def protocol_folder(tmp_path: Path, clip_videos: list[Path]) -> Path:
    """A folder laid out as avmini, of two labels."""
    with (tmp_path / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [("path", "split", "label"), *((video.name, "dev", video.stem) for video in clip_videos)]
        )
    return tmp_path


@pytest.fixture
def clip_videos(tmp_path: Path) -> list[Path]:
    """Two videos of a second, each with a tone of its own."""
    frames = np.zeros((5, 16, 16, 3), np.uint8)
    for name, hz in (("violin", 440.0), ("dog", 220.0)):
        time_seconds = np.arange(16000) / 16000
        sound = Audio(np.sin(2 * np.pi * hz * time_seconds).astype(np.float32)[None] / 4, 16000)
        write_video(tmp_path / f"{name}.mp4", frames, fps=5, audio=sound)
    return [tmp_path / "violin.mp4", tmp_path / "dog.mp4"]


def test_models_get_the_same_mixtures_and_questions(
    protocol_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    separators: list[FakeSeparator] = []

    def load(name: str, *, device: str) -> FakeSeparator:
        separators.append(FakeSeparator(name))
        return separators[-1]

    monkeypatch.setattr(clips_module, "load", load)
    made = list(clips_from_models(["nit", "runs/a=b", "nit=image"], protocol_folder, count=6, seed=1))
    assert [separator.model_name for separator in separators] == ["nit", "runs/a=b", "nit"]
    by_system = {
        system: made[6 * index : 6 * index + 6]
        for index, system in enumerate(("mixture", "text", "text again", "image"))
    }
    questions = [(clip_.label_a, clip_.label_b, clip_.file) for clip_ in by_system["mixture"]]
    assert {names[:2] for names in questions} == {("violin", "dog"), ("dog", "violin")}
    for system, chosen in by_system.items():
        assert [(clip_.label_a, clip_.label_b, clip_.file) for clip_ in chosen] == questions
        assert {clip_.query_kind for clip_ in chosen} == {system.split()[0]}
    assert [separator.asked for separator in separators] == [
        [(a, kind) for a, _, _ in questions] for kind in ("text", "text", "image")
    ]
    times_asked = 2 * [a for a, _, _ in questions].count("dog")
    assert capsys.readouterr().err == "trisep: warning: dog: is nonsense\n" * times_asked
    mixture = by_system["mixture"][0].audio
    np.testing.assert_array_equal(by_system["image"][0].audio.samples, mixture.samples / 2)
    # Two unrelated sounds of -20 dBFS add up to -17 dBFS.
    assert 10 * np.log10(np.mean(np.square(mixture.samples))) == pytest.approx(-16.99, abs=0.2)


def test_a_model_named_twice_and_more_mixtures_than_there_are_are_refused(protocol_folder: Path) -> None:
    with pytest.raises(ConfigError, match="each model once for each kind"):
        list(clips_from_models(["nit", "nit=text"], protocol_folder))
    with pytest.raises(ConfigError, match="--model default=smell: expected the kind of query after =, text or image"):
        list(clips_from_models(["default=smell"], protocol_folder))
    with pytest.raises(ConfigError, match="at most 200"):
        list(clips_from_models(["nit"], protocol_folder, count=201))


def test_the_verb_says_where_page_and_key_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "a.wav", tone(440).samples[0], RATE_HZ)
    table = write_table(tmp_path, [("nit", "text", "a.wav", "violin", "dog")])
    words = ["listening-test", "build", "--samples", table, "--out", tmp_path / "new" / "test"]
    assert cli.main([*map(str, words)]) == 0
    output = capsys.readouterr().out
    assert f"{tmp_path / 'new' / 'test' / 'page' / 'index.html'}: 1 clips" in output and "key.csv" in output
