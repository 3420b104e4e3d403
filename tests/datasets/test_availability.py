"""`trisep data status` on a folder that holds each defect once, resumed, with a command of the user's, and on to
`trisep prepare`.
"""

import csv
import hashlib
import json
import os
import shutil
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
from clip_folders import tone, write_clip
from published_files import write_clean, write_esc50, youtube_id

import trisep.datasets.availability
from trisep import cli
from trisep.datasets import ListedClip, list_clips
from trisep.datasets.availability import CHECKS, check_clips
from trisep.datasets.fetch import fill_in, parse_template
from trisep.datasets.status import CheckSettings
from trisep.errors import ConfigError
from trisep.media.audio_writer import write_audio
from trisep.media.video_writer import write_video
from trisep.store.prepare import PrepareSettings, prepare
from trisep.store.read import ClipStore
from trisep.types import Audio

NAMES = (
    "usable",
    "missing",
    "unreadable",
    "no sound",
    "no picture",
    "too short",
    "silent",
    "still",
    "duplicate",
    "listed twice",
    "cut",
)
IDS = {name: youtube_id(number) for number, name in enumerate(NAMES)}
CUT_KEY = f"{IDS['cut']}_000003"


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for each state; the usable one is a whole recording of 13 s in a folder below, of which the list names 10
    s from second 2.
    """
    folder = tmp_path_factory.mktemp("media")
    write_clip(folder / "below" / f"{IDS['usable']}.mp4", seconds=13.0, seed=1)
    (folder / f"{IDS['unreadable']}.mp4").write_text("Not a video at all.\n" * 50)
    write_clip(folder / f"{IDS['no sound']}.mp4", sound=False)
    write_audio(folder / f"{IDS['no picture']}.wav", tone(10.0), subtype="wav_float32")
    write_clip(folder / f"{IDS['too short']}.mp4", seconds=8.0, seed=2)
    write_clip(folder / f"{IDS['silent']}.mp4", seconds=10.0, amplitude=0.0)
    write_video(folder / f"{IDS['still']}.mp4", [_noise_picture()] * 50, fps=5.0, audio=tone(10.0))
    write_clip(folder / f"{IDS['listed twice']}.mp4", seconds=10.0, seed=3)
    shutil.copy(folder / f"{IDS['listed twice']}.mp4", folder / f"{IDS['duplicate']}.mp4")
    write_clip(folder / f"{CUT_KEY}.mp4", seconds=10.0, seed=4)
    return folder


@pytest.fixture(scope="module")
def metadata(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list like VGGSound's of all of them, in which one clip stands twice and before its copy."""
    path = tmp_path_factory.mktemp("metadata") / "vggsound.csv"
    order = ["listed twice", *NAMES[:9], "listed twice", "cut"]
    starts = {"usable": 2, "cut": 3}
    path.write_text(
        "".join(
            f"{IDS[name]},{starts.get(name, 0)},class of {name},{'test' if name == 'cut' else 'train'}\n"
            for name in order
        )
    )
    return path


def _noise_picture() -> np.ndarray:
    """A picture that is hard on the encoder, so that its still frames come out less alike."""
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _status(media: Path, metadata: Path, *options: str) -> int:
    return cli.main(
        ["data", "status", "vggsound", "--media", str(media), "--metadata", str(metadata), "--workers", "1", *options]
    )


def test_each_defect_is_found_and_named(
    media: Path, metadata: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "lists"
    assert _status(media, metadata, "--out", str(out), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((out / "status.json").read_text())
    defects = [(defect["labels"][0].removeprefix("class of "), defect["state"]) for defect in report["defects"]]
    assert defects == [(name, name) for name in NAMES[1:9]] + [("listed twice", "duplicate")]
    assert report["listed"] == 12 and report["states"] == dict.fromkeys(NAMES[1:8], 1) | {"usable": 3, "duplicate": 2}
    assert report["splits"]["test"]["usable"] == 1 and len(report["classes"]) == 11
    assert [defect["detail"] for defect in report["defects"]][-2:] == [
        f"the same file as {IDS['listed twice']}_000000",
        "listed twice",
    ]

    (twice, usable), (cut,) = _rows(out / "train.csv"), _rows(out / "test.csv")
    path = media / "below" / f"{IDS['usable']}.mp4"
    assert usable == {
        "key": f"{IDS['usable']}_000002",
        "source": f"below/{IDS['usable']}.mp4",
        "start_seconds": "2.0",
        "end_seconds": "12.0",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    # Files that hold the stretch alone are used whole, whether their name says so or their length.
    assert (cut["key"], cut["start_seconds"]) == (CUT_KEY, "") and twice["start_seconds"] == ""
    labels = {row["key"]: (row["label"], row["split"]) for row in _rows(out / "labels.csv")}
    assert labels[CUT_KEY] == ("class of cut", "test") and len(labels) == 3


def test_people_read_the_name_and_the_reason_of_each_defect_in_80_columns(
    media: Path, metadata: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert _status(media, metadata) == 0
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 80
    rows = [line for line in told.splitlines() if line.startswith("│ ")]
    assert any("train" in row and "class of silent" in row and "1 silent" in row for row in rows)
    for name in NAMES[1:8]:
        assert any(IDS[name] in row and f"│ {name} " in row for row in rows), name
    assert "more that are not usable" not in told
    monkeypatch.setattr(trisep.datasets.availability, "MAX_TABLE_ROWS", 3)
    assert _status(media, metadata) == 0
    told = capsys.readouterr().out
    assert "and 6 more that are not usable: --out DIR or --json gives them all" in told
    assert "class of silent" not in told


def test_a_second_run_decodes_only_what_is_new(
    media: Path, metadata: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = list_clips("vggsound", [metadata], media)[-3:]
    first = check_clips(clips, media, CheckSettings(), out=tmp_path)
    notes = (tmp_path / CHECKS).read_text()
    # A kill in the middle of the last line loses that line alone.
    (tmp_path / CHECKS).write_text(notes[:-20])
    looked_at: list[str] = []
    check = trisep.datasets.availability.check_clip
    monkeypatch.setattr(
        trisep.datasets.availability,
        "check_clip",
        lambda media, source, *rest, **named: looked_at.append(source) or check(media, source, *rest, **named),
    )
    assert check_clips(clips, media, CheckSettings(), out=tmp_path) == first
    assert looked_at == [f"{CUT_KEY}.mp4"]
    assert check_clips(clips, media, CheckSettings(), out=tmp_path) == first and len(looked_at) == 1
    check_clips(clips[-1:], media, CheckSettings(silence_db=-50.0), out=tmp_path)
    assert len(looked_at) == 2


def test_prepare_takes_the_listed_stretches(media: Path, metadata: Path, tmp_path: Path) -> None:
    assert _status(media, metadata, "--out", str(tmp_path / "lists")) == 0
    settings = PrepareSettings(
        clips=(tmp_path / "lists" / "train.csv", tmp_path / "lists" / "test.csv"), short_side=32, num_workers=1
    )
    report = prepare(media, tmp_path / "store", settings)
    assert (report.num_inputs, report.num_used_inputs, report.num_clips) == (3, 3, 3)
    store = ClipStore(tmp_path / "store")
    clip = [store.source(number) for number in range(3)].index(f"below/{IDS['usable']}.mp4")
    assert store.entries[clip].start_seconds == 2.0 and store.num_samples(clip) == 160000
    assert store.frame_times(clip) == tuple(float(second) for second in range(10))
    # The same recording as a whole: the stretch is that part of it.
    (tmp_path / "whole").mkdir()
    shutil.copy(media / "below" / f"{IDS['usable']}.mp4", tmp_path / "whole")
    prepare(tmp_path / "whole", tmp_path / "other", PrepareSettings(short_side=32, num_workers=1))
    whole = ClipStore(tmp_path / "other").read_clip(0)
    part = store.read_clip(clip)
    np.testing.assert_allclose(part.waveform, whole.waveform[32000:192000], atol=2e-3)
    assert np.abs(part.frames.astype(int) - whole.frames[2:12].astype(int)).mean() < 1.0


def test_a_sound_is_not_missed_where_the_data_set_has_no_pictures(tmp_path: Path) -> None:
    write_audio(tmp_path / "1-100032-A-0.wav", tone(5.0), subtype="wav_float32")
    (tmp_path / "meta").mkdir()
    metadata = write_esc50(tmp_path / "meta" / "esc50.csv")
    clips = list_clips("esc50", [metadata], tmp_path)
    checks = check_clips(clips, tmp_path, CheckSettings(needs_picture=False))
    assert (
        checks[1] is None
        and checks[0] is not None
        and checks[0].state == "usable"
        and checks[0].level_db == pytest.approx(-23.0, abs=0.1)
    )


@pytest.mark.parametrize(("sign", "offset", "state"), [(-1, 0.0, "usable"), (1, 0.3, "usable"), (0, 0.3, "silent")])
def test_silence_is_judged_on_what_is_heard_of_the_channels(
    tmp_path: Path, sign: int, offset: float, state: str
) -> None:
    sound = tone(5.0)
    left = sound.samples * abs(sign)
    samples = (np.concatenate([left, sign * left]) + offset).astype(np.float32)
    write_audio(tmp_path / "1-100032-A-0.wav", Audio(samples, sound.sample_rate_hz), subtype="wav_float32")
    (tmp_path / "meta").mkdir()
    clips = list_clips("esc50", [write_esc50(tmp_path / "meta" / "esc50.csv")], tmp_path)
    check = check_clips(clips, tmp_path, CheckSettings(needs_picture=False))[0]
    assert check is not None and check.state == state
    assert check.level_db is None if sign == 0 else check.level_db == pytest.approx(-23.0, abs=0.1)


@pytest.mark.slow
def test_two_processes_find_what_one_finds(media: Path, metadata: Path) -> None:
    clips = list_clips("vggsound", [metadata], media)[3:6]
    assert check_clips(clips, media, CheckSettings(), num_workers=2) == check_clips(clips, media, CheckSettings())


def test_a_file_that_crashes_the_decoder_is_named(media: Path, metadata: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = list_clips("vggsound", [metadata], media)[-3:]

    def crash_at_the_cut(waiting, at_work, folder, settings, num_workers):  # type: ignore[no-untyped-def]
        while waiting:
            job = at_work[object()] = waiting.popleft()
            if job.source == f"{CUT_KEY}.mp4":
                raise BrokenProcessPool
            yield (
                at_work.popitem()[1],
                trisep.datasets.availability.check_clip(
                    folder, job.source, job.clip, is_cut=job.is_cut, settings=settings
                ),
            )

    monkeypatch.setattr(trisep.datasets.availability, "_run_pool", crash_at_the_cut)
    checks = check_clips(clips, media, CheckSettings(), num_workers=2)
    assert [check and check.state for check in checks] == ["usable", "usable", "unreadable"]
    assert checks[2] is not None and "crashed" in checks[2].detail


@pytest.mark.slow
def test_the_users_command_brings_missing_clips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clip(tmp_path / "elsewhere.mp4", seconds=3.0)
    (tmp_path / "media").mkdir()
    metadata = write_clean(tmp_path / "test-good.csv")
    program = "import shutil, sys; _, here, name, there = sys.argv; "
    program += "sys.exit('it is private') if '0003' in name else shutil.copy(here, there)"
    template = f'{sys.executable} -c "{program}" {tmp_path}/elsewhere.mp4 v={{id}} {{out}}'
    line = [
        "data",
        "status",
        "vggsound-clean",
        "--metadata",
        str(metadata),
        "--media",
        str(tmp_path / "media"),
        "--workers",
        "1",
        "--json",
    ]
    assert cli.main([*line, "--command", template]) == 0
    text, told = capsys.readouterr()
    report = json.loads(text)
    assert told.splitlines()[-1] == "trisep: 1 of 2 listed clips are not usable"
    assert cli.main([*line, "--strict"]) == 1 and json.loads(capsys.readouterr().out)["states"] == report["states"]
    assert report["states"]["usable"] == 1
    assert [defect["detail"] for defect in report["defects"]] == ["the command ended with 1 (it is private)"]
    assert [path.name for path in (tmp_path / "media").iterdir()] == [f"{youtube_id(2)}.mp4"]


def test_placeholders_stay_inside_their_words() -> None:
    words = parse_template("get 'https://example.org/?v={id}' --from {start} --to={end} -o {out}")
    clip = ListedClip(key="k", media_id="-rf; x", start_seconds=30.0, end_seconds=40.5)
    assert fill_in(words, clip, Path("a b.mp4")) == [
        "get", "https://example.org/?v=-rf; x", "--from", "30", "--to=40.5", "-o", "a b.mp4",
    ]  # fmt: skip
    assert fill_in(words, ListedClip(key="k", media_id="{out}"), Path("o"))[1:5] == [
        "https://example.org/?v={out}",
        "--from",
        "0",
        "--to=inf",
    ]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("get {id}x {url} {out}", "unknown placeholder {url}"),
        ("get v={id}", "expected {id} and {out}"),
        ("get {id} {out}", "after --"),
        ("get 'v={id} {out}", "check its quotes"),
    ],
)
def test_a_wrong_template_is_refused(template: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_template(template)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"min_seconds": 0.0}, "--min-seconds must be above 0, got 0.0"),
        ({"silence_db": 10.0}, "--silence-db must be at most 0, got 10.0"),
        ({"still_level": 999.0}, "--still-level must be between 0 and 255, got 999.0"),
    ],
)
def test_the_number_that_is_out_of_range_is_named(settings: dict[str, float], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        CheckSettings(**settings)
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("music --media {media} --metadata {csv}", "expected JSON"),
        ("esc50 --media {media} --metadata {csv}", "expected 7 columns"),
        ("vggsound --media {media} --metadata {csv} --rule fifth", "has a split of its own"),
        ("vggsound --media {media}/nowhere --metadata {csv}", "no such folder"),
        ("vggsound --media {empty} --metadata {csv}", "none of the 12 listed clips is usable (12 missing)"),
        ("vggsound --media {empty} --metadata {csv} --command", "nowhere-to-be-found cannot be run"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_2(
    media: Path, metadata: Path, tmp_path: Path, line: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = line.format(media=media, csv=metadata, empty=tmp_path).split()
    command = ["nowhere-to-be-found v={id} {out}"] if words[-1] == "--command" else []
    assert cli.main(["data", "status", *words, *command, "--workers", "1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("trisep: error: ") and error.count("\n") == 1 and expected in error


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("key,source\nx,x.mp4\n", "lacks the columns end_seconds, start_seconds"),
        ("source,start_seconds,end_seconds\n", "lists no clip"),
        ("source,start_seconds,end_seconds\n../x.mp4,,\n", "which is no file below"),
        ("source,start_seconds,end_seconds\nabsent.mp4,,\n", "which is no file below"),
        ("source,start_seconds,end_seconds\n{here},5,3\n", "is no stretch"),
        ("source,start_seconds,end_seconds\n{here},,\n{here},,\n", "twice"),
    ],
)
def test_prepare_refuses_a_wrong_list(
    media: Path, tmp_path: Path, content: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.csv").write_text(content.replace("{here}", f"{CUT_KEY}.mp4"))
    assert (
        cli.main(["prepare", str(media), "--clips", str(tmp_path / "list.csv"), "--out", str(tmp_path / "store")]) == 2
    )
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and expected in error


def test_a_name_that_is_not_utf_8_is_a_defect_of_one_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "media").mkdir()
    for name in (b"a\xff.mp4", b"b.mp4"):
        write_clip(tmp_path / "media" / os.fsdecode(name))
    words = ["--media", str(tmp_path / "media"), "--out", str(tmp_path / "lists"), "--workers", "1", "--json"]
    assert cli.main(["data", "status", "folder", *words]) == 0
    (defect,) = json.loads(capsys.readouterr().out)["defects"]
    assert (defect["source"], defect["state"]) == (os.fsdecode(b"a\xff.mp4"), "unreadable")
    assert defect["detail"] == "its name is not valid UTF-8, as lists are; rename it"
    (usable,) = [row for path in (tmp_path / "lists").glob("t*.csv") for row in _rows(path)]
    assert usable["source"] == "b.mp4"


@pytest.mark.parametrize("name", ["labels.csv", "train.csv", "status.json", CHECKS])
def test_a_file_of_the_users_own_is_kept_before_any_work(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.wav").write_text("x")
    command = ["data", "status", "folder", "--media", str(tmp_path / "media"), "--out", str(tmp_path / "out")]
    assert cli.main(command) == cli.main(command) == 2  # results of its own are replaced, those without a clip too
    assert sorted(os.listdir(tmp_path / "out")) == [CHECKS, "labels.csv", "status.json", "train.csv"]
    monkeypatch.setattr(trisep.datasets.availability, "check_clips", lambda *given, **more: pytest.fail("work began"))
    for make in (lambda file: file.write_text('{"mine": "path,label"}'), os.mkfifo, lambda file: file.symlink_to("no")):
        (tmp_path / "out" / name).unlink()
        make(tmp_path / "out" / name)
        capsys.readouterr()
        assert cli.main(command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith(f"{name}: is there already and no result of trisep data status; choose another --out")


def test_a_link_that_leads_nowhere_is_a_defect_of_one_clip_and_names_are_no_styles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_clip(tmp_path / "a.mp4", seconds=2.0)
    (tmp_path / "[").mkdir()
    (tmp_path / "[" / "bold].mp4").symlink_to("gone.mp4")
    (tmp_path / "[red]b.mp4").write_text("x")
    assert cli.main(["data", "status", "folder", "--media", str(tmp_path), "--workers", "1"]) == 0
    shown = capsys.readouterr().out
    assert "[/bold].mp4" in shown and "leads nowhere" in shown and "[red]b.mp4" in shown
