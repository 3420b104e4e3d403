"""Waveforms and mixes, compared with sums in memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trisep.errors import MediaError
from trisep.media.audio import read_audio, write_audio
from trisep.types import Audio
from trisep.web.tasks import PeakMeter, Tasks, mix


def written(path: Path, samples: np.ndarray) -> Path:
    write_audio(path, Audio(samples.astype(np.float32), 8000), subtype="wav_float32")
    return path


@pytest.mark.parametrize("num_samples", [1, 79, 80, 4000, 300_001])
def test_peaks_are_the_largest_values_however_the_sound_is_cut(num_samples: int) -> None:
    samples = np.random.default_rng(0).normal(size=(2, num_samples)).astype(np.float32)
    meters = PeakMeter(8000), PeakMeter(8000)
    meters[0].update(samples)
    for begin in range(0, num_samples, 1234):
        meters[1].update(samples[:, begin : begin + 1234])
    values = meters[0].values()
    assert values == meters[1].values() and len(values) <= 1000
    assert max(values) == round(float(np.abs(samples).max()), 4)


def test_a_mix_is_the_sum_by_gains(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    sounds = [rng.normal(0, 0.1, (2, 100_003)) for _ in range(3)]
    paths = [written(tmp_path / f"{number}.wav", sound) for number, sound in enumerate(sounds)]
    mixed = np.concatenate(list(mix(list(zip(paths, (0.5, -1.0, 0.0), strict=True)))), axis=1)
    np.testing.assert_allclose(mixed, 0.5 * sounds[0] - sounds[1], atol=1e-6)
    silent = np.concatenate(list(mix([(paths[0], 0.0)])), axis=1)
    assert silent.shape == sounds[0].shape and not silent.any()


def test_an_export_at_equal_gains_is_the_sound_itself_and_never_clips(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    mixture = written(tmp_path / "sound.wav", rng.normal(0, 0.1, (1, 50_000)))
    stem = written(tmp_path / "stem.wav", rng.normal(0, 0.1, (1, 50_000)))
    task = {"path": str(mixture), "title": "my talk.wav", "sound": str(mixture), "is_video": False, "end": "mix"}
    stems = [{"name": "dog", "sound": str(stem), "gain": 0.75}]
    made = Tasks("default", device="cpu").export(
        {**task, "stems": stems, "rest_gain": 0.75, "out": str(tmp_path / "same")}, lambda share: None
    )
    assert made == {"file": "same.wav", "title": "my talk mix.wav"}
    expected = read_audio(mixture).samples
    np.testing.assert_allclose(read_audio(tmp_path / "same.wav").samples, 0.75 * expected, atol=2**-22)
    loud = [{**stems[0], "gain": 40.0}]
    Tasks("default", device="cpu").export(
        {**task, "stems": loud, "rest_gain": 0.0, "out": str(tmp_path / "loud")}, lambda share: None
    )
    samples, alone = read_audio(tmp_path / "loud.wav").samples, read_audio(stem).samples
    np.testing.assert_allclose(samples, alone / np.abs(alone).max(), atol=1e-6)


def test_what_is_read_lies_where_it_is_said_to(tmp_path: Path) -> None:
    sound = np.random.default_rng(3).normal(0, 0.1, (2, 12_345)).astype(np.float32)
    path = written(tmp_path / "talk.wav", sound)
    task = {"path": str(path), "title": "talk.wav", "sound": str(tmp_path / "sound.wav"), "max_seconds": 2.0}
    told = Tasks("default", device="cpu").read(task, lambda share: None)
    about = told["sound"]
    assert told["picture"] is None
    assert (about["sample_rate_hz"], about["num_channels"], about["num_samples"]) == (8000, 2, 12_345)
    values = np.frombuffer((tmp_path / "sound.wav").read_bytes()[about["offset"] :], "<f4").reshape(-1, 2).T
    np.testing.assert_array_equal(values, sound)
    with pytest.raises(MediaError, match="here at most"):
        Tasks("default", device="cpu").read({**task, "max_seconds": 1.0}, lambda share: None)


@pytest.mark.parametrize(
    ("notes", "reason"), [(["'zzz': not understood; name it"], "not understood; name it"), ([], None)]
)
def test_words_that_are_not_understood_are_told_with_their_stem(tmp_path: Path, notes: list[str], reason: Any) -> None:
    class Separator:
        def separate_to_files(self, source: Any, queries: Any, out: Path, **_: Any) -> dict[str, Any]:
            out.mkdir()
            written(out / "zzz.wav", np.zeros((1, 16000), np.float32))
            stem = {"query": "zzz", "file": "zzz.wav", "share": 0.0, "presence": 0.1, "present": False}
            return {"stems": [stem], "notes": ["another note", *notes]}

    tasks = Tasks("default", device="cpu")
    tasks.__dict__["_separator"] = Separator()
    sound = written(tmp_path / "a.wav", np.zeros((1, 16000), np.float32))
    task = {"sound": str(sound), "path": str(sound), "out": str(tmp_path / "out"), "name_of_query": "zzz"}
    assert tasks.separate({**task, "query": {"text": "zzz"}}, lambda share: None)["reason"] == reason
