"""Stems as people get them: names of outputs, levels gathered block by block, entries of the report, and files that
come together or not at all.
"""

import errno
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from trisep.errors import MediaError
from trisep.media.sound_form import SoundForm
from trisep.separation.stems import (
    LevelMeter,
    OutputError,
    StemFiles,
    output_name,
    output_names,
    stem_entry,
)
from trisep.types import Audio, Stem

RATE_HZ = 8000


@pytest.mark.parametrize(
    ("queries", "names"),
    [
        (["violin", "rooster barking"], ["violin", "rooster_barking"]),
        (["  Église -- d'été! "], ["église_d_été"]),
        (["e\u0301"], ["é"]),
        (["violin", "Violin", "violin!"], ["violin", "violin_2", "violin_3"]),
        (["residual", "without", "report"], ["residual_2", "without_2", "report_2"]),
        (["a_2", "a", "a"], ["a_2", "a", "a_3"]),
        (["../../etc/passwd"], ["etc_passwd"]),
        (["???"], ["query"]),
        (["小提琴 2"], ["小提琴_2"]),
        (["हिन्दी"], ["हिन्दी"]),
        (["x" * 400], ["x" * 200]),
        (["é" * 101], ["é" * 100]),
        (["x" + "é" * 100], ["x" + "é" * 99]),
    ],
)
def test_output_names(queries: list[str], names: list[str]) -> None:
    assert output_names(queries) == names


def test_a_name_that_is_taken_gets_a_number() -> None:
    assert output_name("Violin", {"violin", "violin_2"}) == "violin_3"


@pytest.mark.parametrize("block", [1, 7, 800, 1600, 5000, 40000])
def test_levels_do_not_depend_on_blocks(block: int) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, (2, 16000 + 123)).astype(np.float32)
    samples[:, 3200:4800] = 0
    meter = LevelMeter(16000)
    for at in range(0, samples.shape[1], block):
        meter.update(samples[:, at : at + block])
    power = np.square(samples, dtype=np.float64).mean(axis=0)
    assert meter.level_db == pytest.approx(10 * math.log10(power.mean()))
    assert meter.hop_seconds == 0.1
    expected = [math.sqrt(power[at : at + 1600].mean()) for at in range(0, len(power), 1600)]
    assert meter.activity == pytest.approx(expected) and meter.activity[2] == 0.0


def test_silence_is_minus_infinity() -> None:
    meter = LevelMeter(8000)
    assert meter.level_db == -math.inf and meter.activity == ()
    meter.update(np.zeros((1, 100), np.float32))
    meter.update(np.zeros((1, 0), np.float32))
    assert meter.level_db == -math.inf and meter.activity == (0.0,)


def test_the_hop_is_a_whole_number_of_samples() -> None:
    assert LevelMeter(11025).hop_seconds == 1102 / 11025
    assert LevelMeter(3).hop_seconds == 1 / 3


def test_the_entry_of_the_report() -> None:
    audio = Audio(np.zeros((1, 0), np.float32), RATE_HZ)
    stem = Stem("Violin", audio, -12.34567, 0.123456, False, 0.1, (0.123456, 1e-7))
    assert stem_entry(stem, "violin.wav") == {
        "query": "Violin",
        "file": "violin.wav",
        "level_db": -12.346,
        "presence": 0.1235,
        "present": False,
        "activity": {"hop_seconds": 0.1, "values": [0.1235, 1e-7]},
    }
    assert stem_entry(Stem("a", audio, -math.inf, 0.0, True, 0.1, ()), "a.wav")["level_db"] is None


def stem_files(folder: Path, names: list[str], file_format: str = "wav", num_channels: int = 2) -> StemFiles:
    form = SoundForm(format=file_format)  # type: ignore[arg-type]
    return StemFiles(folder, names, form, sample_rate_hz=RATE_HZ, num_channels=num_channels)


def ramp(peak: float) -> np.ndarray:
    """Two channels of 1001 samples, the second the first backwards."""
    rise = np.linspace(-peak, peak, 1001, dtype=np.float32)
    return np.stack([rise, rise[::-1]])


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def write_whole(folder: Path, peaks: dict[str, float], file_format: str) -> float:
    """Ramps of these peaks in uneven blocks, and a report; returns the shared gain in dB."""
    with stem_files(folder, list(peaks), file_format) as files:
        for begin, end in ((0, 1), (1, 700), (700, 1001)):
            files.write({name: ramp(peak)[:, begin:end] for name, peak in peaks.items()})
        assert not any((folder / name).is_file() for name in files.names.values())
        gain_db = files.finish()
        files.write_json("report.json", {"gain_db": gain_db, "é": None})
    return gain_db


def read(path: Path) -> np.ndarray:
    """By libsndfile, which did not write the wav files."""
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    assert rate_hz == RATE_HZ
    return samples.T


def test_wav_files_hold_the_very_samples_beyond_full_scale_too(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert write_whole(folder, {"violin": 0.3, "residual": 1.5}, "wav") == 0.0
    assert tree(folder) == ["report.json", "residual.wav", "violin.wav"]
    np.testing.assert_array_equal(read(folder / "violin.wav"), ramp(0.3))
    np.testing.assert_array_equal(read(folder / "residual.wav"), ramp(1.5))
    assert soundfile.info(folder / "violin.wav").subtype == "FLOAT"
    assert (folder / "report.json").read_bytes() == '{\n "gain_db": 0.0,\n "é": null\n}\n'.encode()


@pytest.mark.parametrize(("loudest", "gain"), [(0.9, 1.0), (1.0, 1 - 2**-23), (4.0, 0.25)])
def test_flac_files_share_the_gain_that_the_loudest_needs(tmp_path: Path, loudest: float, gain: float) -> None:
    gain_db = write_whole(tmp_path, {"violin": 0.3, "residual": loudest}, "flac")
    assert gain_db == pytest.approx(20 * math.log10(gain), abs=2e-6)
    assert tree(tmp_path) == ["report.json", "residual.flac", "violin.flac"]
    np.testing.assert_allclose(read(tmp_path / "violin.flac"), gain * ramp(0.3), atol=2**-23)
    np.testing.assert_allclose(read(tmp_path / "residual.flac"), gain * ramp(loudest), atol=2**-23)
    assert soundfile.info(tmp_path / "violin.flac").subtype == "PCM_24"


def test_silent_flac_files_have_no_gain(tmp_path: Path) -> None:
    assert write_whole(tmp_path, {"violin": 0.0}, "flac") == 0.0
    assert not read(tmp_path / "violin.flac").any()


def test_nothing_is_touched_before_the_with_block(tmp_path: Path) -> None:
    files = stem_files(tmp_path / "out", ["violin"], "flac", 8)
    assert files.names == {"violin": "violin.flac"} and tree(tmp_path) == []
    with pytest.raises(MediaError, match="flac holds at most 8 channels, this sound has 9; choose wav"):
        stem_files(tmp_path / "out", ["violin"], "flac", 9)
    stem_files(tmp_path / "out", ["violin"], "wav", 9)


@pytest.mark.parametrize("file_format", ["wav", "flac"])
@pytest.mark.parametrize("when", ["write", "finish", "report"])
def test_a_body_that_fails_leaves_nothing_not_even_folders(tmp_path: Path, file_format: str, when: str) -> None:
    with pytest.raises(ZeroDivisionError), stem_files(tmp_path / "a" / "b", ["violin"], file_format) as files:
        files.write({"violin": ramp(0.5)})
        if when != "write":
            files.finish()
        if when == "report":
            files.write_json("report.json", {})
        raise ZeroDivisionError
    assert tree(tmp_path) == []


def test_a_failure_keeps_earlier_results_and_folders_of_others(tmp_path: Path) -> None:
    write_whole(tmp_path / "out", {"violin": 0.3}, "wav")
    (tmp_path / "out" / "report.json").write_text('{"input": null, "stems": [{"file": "violin.wav"}]}')
    before = {name: (tmp_path / "out" / name).read_bytes() for name in tree(tmp_path / "out")}
    with pytest.raises(ValueError, match="JSON compliant"), stem_files(tmp_path / "out", ["violin"]) as files:
        files.write({"violin": ramp(0.9)})
        files.finish()
        files.write_json("report.json", math.nan)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in tree(tmp_path / "out")} == before
    # A folder that somebody else put a file into meanwhile stays, and those above it.
    with pytest.raises(ZeroDivisionError), stem_files(tmp_path / "c" / "d", ["violin"]):
        (tmp_path / "c" / "mine").write_text("x")
        raise ZeroDivisionError
    assert tree(tmp_path / "c") == ["mine"]


def test_a_folder_in_the_place_of_a_file_is_named_before_anything_moves(tmp_path: Path) -> None:
    (tmp_path / "residual.wav").mkdir()
    with pytest.raises(OutputError) as caught:
        write_whole(tmp_path, {"violin": 0.3, "residual": 0.3}, "wav")
    place = tmp_path / "residual.wav"
    assert str(caught.value) == f"{place}: cannot be written (Is a directory); choose a name that is not a folder"
    assert tree(tmp_path) == ["residual.wav"]


def test_a_place_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError) as caught, stem_files(tmp_path / "file" / "out", ["violin"]):
        pass
    assert str(caught.value).startswith(f"{tmp_path / 'file' / 'out'}: cannot be written (Not a directory)")
    with pytest.raises(OutputError, match="File name too long"), stem_files(tmp_path / "new", ["x" * 300]):
        pass
    assert tree(tmp_path) == ["file"]

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "", "somewhere")

    monkeypatch.setattr("trisep.media.audio_writer._ReportingFile.write_now", full)
    with pytest.raises(OutputError) as caught, stem_files(tmp_path / "new", ["violin"]):
        pass
    assert str(caught.value).startswith(f"{tmp_path / 'new'}: cannot be written (No space left on device); free some")
    assert tree(tmp_path) == ["file"]


@pytest.mark.parametrize("step", ["write", "finish", "convert", "report", "move"])
def test_a_disk_that_fills_up_is_the_outputs_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def full(*arguments: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, "", "somewhere")

    refused = {
        "write": "trisep.media.audio_writer._ReportingFile.write_now",
        "finish": "os.replace",
        "convert": "trisep.media.audio_writer.quantize",
        "report": "pathlib.Path.open",
        "move": "os.replace",
    }[step]
    with pytest.raises(OutputError) as caught, stem_files(tmp_path / "out", ["violin"], "flac") as files:
        if step == "write":
            monkeypatch.setattr(refused, full)
        files.write({"violin": ramp(0.5)})
        if step in ("finish", "convert"):
            monkeypatch.setattr(refused, full)
        files.finish()
        monkeypatch.setattr(refused, full)
        files.write_json("report.json", {})
    assert str(caught.value).startswith(f"{tmp_path / 'out'}: cannot be written (No space left on device); free some")
    assert tree(tmp_path) == []


def test_a_sound_that_is_no_number_is_told_by_the_place_that_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(MediaError) as caught, stem_files(tmp_path / "out", ["violin"]) as files:
        files.write({"violin": np.full((2, 3), np.nan, np.float32)})
    assert str(caught.value).startswith(
        f"{tmp_path / 'out' / 'violin.wav'}: the sound holds values that are not finite"
    )
    assert type(caught.value) is MediaError  # the file's fault and not the folder's: a batch goes on
    assert tree(tmp_path) == []
