"""Several inputs in one command: which files, into which folders, and what comes of a bad one."""

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trisep.errors import MediaError, QueryError
from trisep.media.audio_writer import write_audio
from trisep.separation.batch import columns, media_files, separate_batch, summary_lines, warning_lines
from trisep.separation.stems import OutputError
from trisep.separation.streaming import Progress
from trisep.types import Audio


class Recorder:
    """Takes the place of a separation: notes what it is asked, writes a file, and raises what it is told to."""

    def __init__(self, failures: dict[str, BaseException] | None = None) -> None:
        self.asked: list[tuple[Path, Path]] = []
        self.failures = failures or {}

    def __call__(self, path: Path, folder: Path, progress: Progress) -> dict[str, Any]:
        progress(0.5)
        self.asked.append((path, folder))
        if path.name in self.failures:
            raise self.failures[path.name]
        folder.mkdir(parents=True)
        (folder / "stem.wav").write_text("sound")
        stem = {"query": "a dog", "file": "stem.wav", "present": False, "presence": 0.125, "share": 0.25}
        return {"input": str(path), "stems": [stem], "residual": None, "without": None}


def fill(folder: Path, names: Sequence[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text("x")
    return folder


def test_one_file_goes_straight_into_the_output_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    separate = Recorder()
    assert separate_batch([tmp_path / "a.wav"], tmp_path / "out", separate, show="nothing") == 0
    assert separate.asked == [(tmp_path / "a.wav", tmp_path / "out")]
    assert os.listdir(tmp_path / "out") == ["stem.wav"] and capsys.readouterr() == ("", "")


def test_without_a_place_every_input_has_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    separate = Recorder()
    assert separate_batch([Path("a.wav")], None, separate) == separate_batch([Path(".wav")], None, separate) == 0
    assert separate_batch([Path("b.wav"), Path("c.wav")], None, separate) == 0
    assert [folder for _, folder in separate.asked] == [Path("separated") / name for name in ("a", ".wav", "b", "c")]


@pytest.mark.parametrize("show", ["table", "json"])
def test_it_says_what_it_did_and_warns_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str], show: Any) -> None:
    assert separate_batch([tmp_path / "a.wav"], tmp_path / "out", Recorder(), show=show) == 0
    shown = capsys.readouterr()
    assert shown.err == f"trisep: warning: a dog: probably not heard in {tmp_path / 'a.wav'} (presence 0.12)\n"
    if show == "json":
        assert json.loads(shown.out)["stems"][0]["query"] == "a dog"
    else:
        assert shown.out.splitlines() == [
            f"{tmp_path / 'out'}/",
            "       heard         share  files",
            "a dog  probably not   25 %  stem.wav",
        ]


def test_json_of_a_batch_is_its_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = [tmp_path / "a.wav", tmp_path / "b.wav"]
    assert separate_batch(inputs, tmp_path / "out", Recorder({"b.wav": MediaError("no")}), show="json") == 1
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "out" / "batch.json").read_text())


def test_one_bad_file_is_the_commands_error(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no sound"):
        separate_batch([tmp_path / "a.wav"], tmp_path / "out", Recorder({"a.wav": MediaError("no sound")}))
    assert not (tmp_path / "out").exists()


def test_a_folder_is_a_batch_even_of_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    separate = Recorder()
    folder = fill(tmp_path / "in", ["a.wav"])
    assert separate_batch([folder], tmp_path / "out", separate, show="nothing") == 0
    assert separate.asked == [(folder / "a.wav", tmp_path / "out" / "a")] and capsys.readouterr() == ("", "")
    assert json.loads((tmp_path / "out" / "batch.json").read_text()) == {
        "schema": 1,
        "done": 1,
        "skipped": 0,
        "inputs": [{"input": str(folder / "a.wav"), "folder": "a", "error": None}],
    }


def test_a_bad_file_is_skipped_and_told_on_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = fill(tmp_path / "in", ["a.wav", "b.wav", "c.wav"])
    separate = Recorder({"b.wav": QueryError("b.wav:\n  no picture")})
    assert separate_batch([folder, tmp_path / "a.mp4"], tmp_path / "out", separate, show="nothing") == 1
    assert capsys.readouterr().err.splitlines() == [
        "trisep: skipped: b.wav: no picture",
        "trisep: 3 of 4 inputs done, 1 skipped",
    ]
    batch = json.loads((tmp_path / "out" / "batch.json").read_text())
    assert (batch["done"], batch["skipped"]) == (3, 1)
    assert batch["inputs"] == [
        {"input": str(folder / "a.wav"), "folder": "a", "error": None},
        {"input": str(folder / "b.wav"), "folder": None, "error": "b.wav: no picture"},
        {"input": str(folder / "c.wav"), "folder": "c", "error": None},
        {"input": str(tmp_path / "a.mp4"), "folder": "a_2", "error": None},
    ]
    assert sorted(os.listdir(tmp_path / "out")) == ["a", "a_2", "batch.json", "c"]


def test_a_batch_in_which_nothing_works_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = [tmp_path / "a.wav", tmp_path / "b.wav"]
    failures = {path.name: MediaError("no sound") for path in inputs}
    assert separate_batch(inputs, tmp_path / "out", Recorder(failures)) == 2
    assert not (tmp_path / "out").exists() and "0 of 2 inputs done, 2 skipped" in capsys.readouterr().err


def test_an_output_place_that_cannot_be_written_ends_the_batch(tmp_path: Path) -> None:
    separate = Recorder({"b.wav": OutputError("the disk is full")})
    with pytest.raises(OutputError):
        separate_batch([tmp_path / name for name in ("a.wav", "b.wav", "c.wav")], tmp_path / "out", separate)
    assert [path.name for path, _ in separate.asked] == ["a.wav", "b.wav"]


@pytest.mark.parametrize("error", [ZeroDivisionError("by\nzero"), MemoryError(), RuntimeError("out of memory")])
def test_whatever_fails_in_one_file_is_that_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    inputs = [tmp_path / "a.wav", tmp_path / "b.wav"]
    assert separate_batch(inputs, tmp_path / "out", Recorder({"a.wav": error}), show="nothing") == 1
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith(f"trisep: skipped: {inputs[0]}: cannot be separated ({type(error).__name__}: ")
    assert last == "trisep: 1 of 2 inputs done, 1 skipped"
    assert json.loads((tmp_path / "out" / "batch.json").read_text())["done"] == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OutputError("the disk is full")])
def test_a_batch_that_is_ended_reports_what_was_done(tmp_path: Path, error: BaseException) -> None:
    inputs = [tmp_path / name for name in ("a.wav", "b.wav", "c.wav")]
    with pytest.raises(type(error)):
        separate_batch(inputs, tmp_path / "out", Recorder({"b.wav": error}))
    batch = json.loads((tmp_path / "out" / "batch.json").read_text())
    assert (batch["done"], batch["skipped"], len(batch["inputs"])) == (1, 2, 1)


def test_a_file_in_the_place_of_the_report_is_kept(tmp_path: Path) -> None:
    (tmp_path / "batch.json").write_text('{"mine": 1}')
    separate = Recorder()
    with pytest.raises(OutputError, match="batch.json: is there already and no report of a batch"):
        separate_batch([tmp_path / "a.wav", tmp_path / "b.wav"], tmp_path, separate)
    assert separate.asked == [] and (tmp_path / "batch.json").read_text() == '{"mine": 1}'


def test_unforeseen_names_stay_below_the_output_folder(tmp_path: Path) -> None:
    separate = Recorder()
    names = ["a.b.wav", ".wav", "..wav", " .wav", "...wav", "a b.wav", "-x.wav", "[red].wav", "A.wav", "a.wav", "a.mp4"]
    assert separate_batch([tmp_path / name for name in names], tmp_path / "out", separate) == 0
    folders = [folder for _, folder in separate.asked]
    assert all(folder.parent == tmp_path / "out" and folder.resolve() == folder for folder in folders)
    # A disk may take A and a for one name.
    expected = ["a.b", ".wav", "input", "input_2", "input_3", "a b", "-x", "[red]", "A", "a_2", "a_3"]
    assert [folder.name for folder in folders] == expected


def test_the_report_of_a_batch_has_a_name_of_its_own(tmp_path: Path) -> None:
    separate = Recorder()
    folder = fill(tmp_path / "in", ["Batch.json.wav", "batch.json.wav"])
    assert separate_batch([folder], tmp_path / "out", separate) == 0
    batch = json.loads((tmp_path / "out" / "batch.json").read_text())
    assert batch["done"] == 2 and all((tmp_path / "out" / entry["folder"]).is_dir() for entry in batch["inputs"])


def test_of_a_folder_its_own_media_files_sorted(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", ["b.WAV", "a.mp4", "c.wmv", ".hidden.wav", "notes.txt", "photo.jpg", "wav"])
    fill(folder / "below.wav", ["d.wav"])
    assert media_files(folder) == [folder / "a.mp4", folder / "b.WAV", folder / "c.wmv"]
    left_out: list[Path] = []
    media_files(folder, left_out=left_out)
    assert [path.name for path in left_out] == ["notes.txt", "photo.jpg", "wav"]
    assert media_files(folder / "notes.txt") == [folder / "notes.txt"]
    assert media_files(tmp_path / "absent") == [tmp_path / "absent"]


def test_a_folder_offers_whatever_its_suffix_what_can_be_opened_and_says_what_it_leaves_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = fill(tmp_path / "in", ["a.wv", "b.w64", "c.au", "d.ac3", "e.tta", "f.spx", "notes.txt", "g.strange"])
    write_audio(folder / "h.odd", Audio(np.zeros((1, 800), np.float32), 8000), subtype="wav_int16")
    assert separate_batch([folder], tmp_path / "out", Recorder()) == 0
    batch = json.loads((tmp_path / "out" / "batch.json").read_text())
    assert [Path(entry["input"]).name for entry in batch["inputs"]] == [
        *("a.wv", "b.w64", "c.au", "d.ac3", "e.tta", "f.spx", "h.odd")
    ]
    assert "trisep: left out, as neither sound nor video: g.strange, notes.txt\n" in capsys.readouterr().err


def test_of_folders_below_too(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", ["b.wav"])
    fill(folder / "z", ["a.mp4"])
    fill(folder / "empty", ["notes.txt"])
    fill(folder / ".hidden", ["c.wav"])
    assert media_files(folder, recursive=True) == [folder / "b.wav", folder / "z" / "a.mp4"]
    assert media_files(folder) == [folder / "b.wav"]


def test_stems_of_an_earlier_run_are_no_input_of_the_next(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", ["a.wav"])
    fill(folder / "other", ["b.wav"])
    stems = fill(fill(folder / "separated", []) / "a", ["dog.wav"])
    for place in (stems, folder / "other"):
        (place / "report.json").write_text('{"schema": 1, "stems": []}' if place == stems else '{"mine": 1}')
    assert media_files(folder, recursive=True) == [folder / "a.wav", folder / "other" / "b.wav"]
    assert media_files(stems, recursive=True) == [stems / "dog.wav"]


def test_a_folder_below_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fill(tmp_path / "in", ["a.wav"])
    fill(folder / "locked", ["b.wav"])
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("trisep.separation.batch.os.scandir", refuse)
    assert media_files(folder) == [folder / "a.wav"]
    with pytest.raises(MediaError, match=f"^{folder}/locked: the folder cannot be read"):
        media_files(folder, recursive=True)


def test_a_folder_without_media_or_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fill(tmp_path / "in", ["a.jpg", "b.PNG", "c.txt", ".d.wav"])
    with pytest.raises(MediaError) as caught:
        media_files(folder)
    reason = "the folder holds no sound or video file (3 other files, 2 of them pictures); name one that does"
    assert str(caught.value) == f"{folder}: {reason}"

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("trisep.separation.batch.os.scandir", refuse)
    with pytest.raises(MediaError, match=f"^{folder}: the folder cannot be read \\(Permission denied\\); change its"):
        media_files(folder)


def test_a_terminal_sees_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    folder = fill(tmp_path / "in", ["[red] a.wav", "b.wav"])
    assert separate_batch([folder], tmp_path / "out", Recorder()) == 0
    assert "1/2 [red] a.wav" in terminal.getvalue() and "2/2 b.wav" in terminal.getvalue()
    assert "50%" in terminal.getvalue()


def stem(query: str, file: str, *, present: bool = True, share: float | None = 0.5) -> dict[str, object]:
    return {"query": query, "file": file, "present": present, "presence": 0.3, "share": share}


def test_the_table_names_every_file() -> None:
    report = {
        "input": "talk.mp4",
        "stems": [
            stem("traffic", "traffic.wav", share=0.618),
            stem("\x1b[31mred\n" + "x" * 40, "red.wav", present=False),
        ],
        "residual": "residual.wav",
        "without": "without.wav",
        "residual_share": 0.004,
        "videos": {"files": {"traffic": "traffic.mp4", "red": "red.mp4", "without": "without.mp4"}},
    }
    assert summary_lines(report, Path("out")) == [
        "out/",
        "                              heard         share  files",
        "traffic                       yes            62 %  traffic.wav, traffic.mp4",
        " [31mred xxxxxxxxxxxxxxxx...  probably not   50 %  red.wav, red.mp4",
        "the rest                                      0 %  residual.wav, without.wav, without.mp4",
    ]
    assert warning_lines(report) == [" [31mred xxxxxxxxxxxxxxxx...: probably not heard in talk.mp4 (presence 0.30)"]


def test_notes_are_told_but_for_the_one_that_most_files_have() -> None:
    report = {
        "input": "talk.mp4",
        "stems": [stem("asdf", "asdf.wav", present=False), stem("dog", "dog.wav")],
        "notes": ["above 8 kHz, which the model does not hear, stems are silent", "'asdf': is nonsense", "is silent"],
    }
    assert warning_lines(report) == ["asdf: is nonsense", "talk.mp4: is silent"]


def test_silence_has_no_shares() -> None:
    report = {"input": None, "stems": [stem("dog", "dog.wav", share=None)], "residual": None, "without": None}
    assert summary_lines(report, Path("out"))[1:] == [
        "     heard  share  files",
        "dog  yes           dog.wav",
    ]
    assert warning_lines(report) == []


def test_texts_of_any_width_stand_in_columns() -> None:
    # A terminal gives Chinese and Japanese letters and emoji two cells each, and combining accents none.
    names = ["dog", "小提琴", "e\u0301te\u0301", "🎻 violin", "犬" * 20]
    report = {
        "input": None,
        "stems": [stem(name, "a.wav", share=0.05 * number) for number, name in enumerate(names)],
        **{"residual": None, "without": None},
    }
    assert summary_lines(report, Path("out"))[1:] == [
        "                             heard  share  files",
        "dog                          yes      0 %  a.wav",
        "小提琴                       yes      5 %  a.wav",
        "e\u0301te\u0301                          yes     10 %  a.wav",
        "🎻 violin                    yes     15 %  a.wav",
        "犬犬犬犬犬犬犬犬犬犬犬犬...  yes     20 %  a.wav",
    ]
    assert columns([("a", "b", "c"), ("犬犬", "1", "")], to_the_right={0}) == ["   a  b  c", "犬犬  1"]
