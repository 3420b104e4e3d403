"""Separation end to end with a tiny model and a stand-in encoder: files, reports, exactness, and everything a user can
get wrong.
"""

import errno
import hashlib
import io
import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import trisep
from trisep import cli
from trisep.checkpoints.format import save_model
from trisep.checkpoints.registry import available_models
from trisep.encoders import QUERY_TEMPLATES
from trisep.errors import CheckpointError, ConfigError, MediaError, QueryError
from trisep.media.audio import read_audio
from trisep.media.audio_writer import wav_header, write_audio
from trisep.media.lock import locked
from trisep.media.probe import probe
from trisep.media.video import write_video
from trisep.models.clipsep import Config
from trisep.networks.audio_unet import UNetConfig
from trisep.separation import separator as separate
from trisep.separation.batch import warning_lines
from trisep.separation.infer import network_input, round_up
from trisep.separation.options import OutputOptions, SeparationOptions
from trisep.separation.presence import EvidenceWeights
from trisep.separation.separator import Separator
from trisep.separation.source import open_source
from trisep.spectrogram.log_frequency import to_log_frequency
from trisep.spectrogram.masks import apply_masks
from trisep.spectrogram.stft import stft
from trisep.types import Audio, Query, QueryEmbedding, SignalSettings


class FakeEncoder:
    """Embeds by a hash of the letters, or of the pixels."""

    name = "fake"
    dim = 8
    fingerprint = "f" * 64
    token_table = None

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        return torch.stack(
            [torch.randn(8, generator=torch.Generator().manual_seed(sum(text.encode()))) for text in texts]
        )

    def encode_image(self, frames: Sequence[np.ndarray]) -> Tensor:
        return torch.stack(
            [torch.randn(8, generator=torch.Generator().manual_seed(int(frame.sum()))) for frame in frames]
        )

    def encode_regions(self, frames: Sequence[np.ndarray]) -> Tensor:
        raise AssertionError("nothing here asks for it")

    def encode_tokens(self, token_embeddings: Tensor) -> Tensor:
        raise AssertionError("nothing here asks for it")

    def token_word(self, token_id: int) -> str:
        raise AssertionError("nothing here asks for it")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with drawn weights whose masks vary visibly."""
    torch.manual_seed(1)
    unet = UNetConfig(num_levels=3, base_width=4, max_width=8, out_channels=4, upsampling="transposed")
    model = Config(embedding_dim=8, unet=unet, query_scale=3.0).build()
    with torch.no_grad():
        model.fusion.scale.mul_(12.0)
    folder = tmp_path_factory.mktemp("model") / "tiny"
    card = {
        "signal": asdict(SignalSettings(mixture_level_db=-23.0)),
        "encoder": "fake",
        "encoder_fingerprint": "f" * 64,
    }
    save_model(folder, model, model_name="clipsep", card=card)
    return folder


@pytest.fixture(scope="session")
def separator(checkpoint: Path) -> Separator:
    return trisep.load(checkpoint, device="cpu", encoder=FakeEncoder())


@pytest.fixture
def command(checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Runs `trisep separate` with the stand-in encoder and returns the exit code."""
    monkeypatch.setattr(separate, "load_encoder", lambda name: FakeEncoder())
    monkeypatch.chdir(tmp_path)
    return lambda *words: cli.main(
        ["separate", *map(str, words), *(() if "--model" in words else ("--model", str(checkpoint)))]
    )


def noise(num_samples: int, num_channels: int = 1, rate_hz: int = 16000, seed: int = 0) -> Audio:
    return Audio(np.random.default_rng(seed).normal(0, 0.1, (num_channels, num_samples)).astype(np.float32), rate_hz)


def wav(path: Path, audio: Audio) -> Path:
    write_audio(path, audio, subtype="wav_float32")
    return path


def signal_to_error_db(reference: np.ndarray, estimate: np.ndarray) -> float:
    error = np.square(reference.astype(np.float64) - estimate).sum()
    return 10 * math.log10(np.square(reference, dtype=np.float64).sum() / max(error, 1e-30))


def test_at_the_models_rate_it_is_the_plain_chain(separator: Separator) -> None:
    audio = noise(16000 * 3 + 77)
    result = separator.separate(
        audio, ["violin", "dog"], options=SeparationOptions(segment_seconds=0.5, exclusive=False)
    )
    waveform = torch.from_numpy(audio.samples)
    gain = 10 ** (-23 / 20) / float(waveform.std(correction=0))
    spectrum = stft(waveform, separator.signal)
    magnitude = to_log_frequency(spectrum.abs() * gain)
    spectrogram = network_input(magnitude, round_up(magnitude.shape[-1], 8))
    vectors = separator.embed([Query("violin", text="violin"), Query("dog", text="dog")])
    masks = separator.model(spectrogram, QueryEmbedding(vectors=vectors[None])).masks[..., : spectrum.shape[-1]]
    expected = apply_masks(spectrum, masks, separator.signal, waveform.shape[1])[0].numpy()
    np.testing.assert_allclose(result.masks, masks[0].numpy(), atol=1e-5)
    assert masks.std() > 0.02
    for stem, reference in zip(result.stems.values(), expected, strict=True):
        assert signal_to_error_db(reference, stem.audio.samples[0]) > 80


def test_queries_asked_together_share_the_sound_out(separator: Separator) -> None:
    audio = noise(16000)
    together = separator.separate(audio, ["violin", "dog"]).masks
    alone = separator.separate(audio, ["violin", "dog"], options=SeparationOptions(exclusive=False)).masks
    assert together.sum(axis=0).max() <= 1 + 1e-5 and not np.allclose(together, alone)
    odds = alone / (1 - alone)
    np.testing.assert_allclose(together, odds / (0.5 + odds.sum(axis=0)), atol=1e-4)
    single = separator.separate(audio, ["dog"]).masks
    np.testing.assert_array_equal(
        single, separator.separate(audio, ["dog"], options=SeparationOptions(exclusive=False)).masks
    )


@pytest.mark.parametrize(
    ("rate_hz", "num_channels", "num_samples"),
    [
        (16000, 1, 800),
        (8000, 1, 401),
        (44100, 2, 70001),
        (48000, 6, 30000),
        (22050, 8, 9999),
        (192000, 2, 100003),
        (11025, 1, 1),
        (44100, 1, 2205),
    ],
)
def test_stems_keep_rate_channels_and_length_and_add_up(
    separator: Separator, rate_hz: int, num_channels: int, num_samples: int
) -> None:
    audio = noise(num_samples, num_channels, rate_hz)
    result = separator.separate(audio, ["violin", "dog"], options=SeparationOptions(segment_seconds=0.3))
    total = result.residual.samples.copy()
    for stem in result.stems.values():
        assert stem.audio.samples.shape == audio.samples.shape and stem.audio.sample_rate_hz == rate_hz
        assert stem.audio.samples.dtype == np.float32
        total += stem.audio.samples
    assert np.array_equal(result.mixture.samples, audio.samples)
    np.testing.assert_allclose(total, audio.samples, atol=5e-7)


@pytest.mark.parametrize(("rate_hz", "num_channels"), [(44100, 2), (8000, 1), (48000, 1)])
def test_segments_do_not_show(separator: Separator, rate_hz: int, num_channels: int) -> None:
    audio = noise(4 * rate_hz + 13, num_channels, rate_hz)
    whole = (
        separator.separate(audio, ["violin"], options=SeparationOptions(segment_seconds=100))
        .stems["violin"]
        .audio.samples
    )
    for seconds in (0.3, 1.1):
        parts = (
            separator.separate(audio, ["violin"], options=SeparationOptions(segment_seconds=seconds))
            .stems["violin"]
            .audio.samples
        )
        assert signal_to_error_db(whole, parts) > 80


def test_channels_are_masked_alike_and_never_mixed(separator: Separator) -> None:
    left = noise(30000, 1, 44100)
    audio = Audio(np.concatenate([left.samples, 0 * left.samples, 0.5 * left.samples]), 44100)
    stem = separator.separate(audio, ["violin"]).stems["violin"].audio.samples
    assert not stem[1].any()
    np.testing.assert_allclose(stem[2], 0.5 * stem[0], atol=1e-6)


def test_the_masks_do_not_depend_on_the_input_level(separator: Separator) -> None:
    audio = noise(20000)
    quiet = separator.separate(Audio(audio.samples * np.float32(1e-3), 16000), ["violin"])
    loud = separator.separate(audio, ["violin"])
    np.testing.assert_allclose(quiet.masks, loud.masks, atol=1e-4)
    assert loud.stems["violin"].level_db - quiet.stems["violin"].level_db == pytest.approx(60, abs=0.01)


def test_silence_gives_silence_that_is_absent(separator: Separator, tmp_path: Path) -> None:
    audio = Audio(np.zeros((2, 30000), np.float32), 44100)
    report = separator.separate_to_files(audio, ["violin"], tmp_path / "out")
    stem = report["stems"][0]
    assert (
        stem["level_db"] is None
        and stem["presence"] == 0
        and stem["present"] is False
        and "silent" in report["notes"][0]
    )
    assert not read_audio(tmp_path / "out/violin.wav").samples.any()
    assert json.loads((tmp_path / "out/report.json").read_text()) == report


def test_a_dc_offset_is_no_level(separator: Separator) -> None:
    audio = noise(20000)
    running = separator.start(Audio(audio.samples + 0.5, 16000), [Query("a", text="a")])
    assert running.survey.level_db == pytest.approx(-20, abs=0.2)


@pytest.mark.parametrize("kind", ["offset", "rumble"])
def test_what_nobody_hears_changes_no_stem_and_stays_in_the_residual(separator: Separator, kind: str) -> None:
    audio = noise(80000, 2)
    times = np.arange(80000, dtype=np.float32) / 16000
    added = np.float32(0.5) + 0 * times if kind == "offset" else np.float32(0.4) * np.sin(2 * np.pi * 9 * times)
    plain = separator.separate(audio, ["violin"])
    found = separator.separate(Audio(audio.samples + added, 16000), ["violin"])
    middle = slice(16000, 64000)
    stem, expected = (one.stems["violin"].audio.samples[:, middle] for one in (found, plain))
    assert signal_to_error_db(expected, stem) > (60 if kind == "offset" else 20)
    rest, expected = (one.residual.samples[:, middle] for one in (found, plain))
    np.testing.assert_allclose(rest, expected + added[middle], atol=0.01)
    assert found.stems["violin"].presence == pytest.approx(plain.stems["violin"].presence, abs=0.01)
    assert found.stems["violin"].level_db == pytest.approx(plain.stems["violin"].level_db, abs=0.1)
    assert not plain.notes and "which nobody hears, is in no stem" in found.notes[0]
    np.testing.assert_array_equal(found.mixture.samples, audio.samples + added)


def test_a_constant_alone_is_silence(separator: Separator, tmp_path: Path) -> None:
    report = separator.separate_to_files(Audio(np.full((1, 30000), 0.5, np.float32), 16000), ["a"], tmp_path / "out")
    assert report["stems"][0]["presence"] == 0 and "the input is silent" in report["notes"][0]
    np.testing.assert_allclose(read_audio(tmp_path / "out" / "residual.wav").samples, 0.5, atol=1e-6)


def test_channels_that_cancel_are_heard_as_those_that_add_up(separator: Separator) -> None:
    left = noise(40000).samples
    plain = separator.separate(Audio(np.concatenate([left, left]), 16000), ["violin"])
    found = separator.separate(Audio(np.concatenate([left, -left]), 16000), ["violin"])
    np.testing.assert_allclose(found.masks, plain.masks, atol=1e-5)
    assert found.stems["violin"].presence == pytest.approx(plain.stems["violin"].presence) and not found.notes
    np.testing.assert_allclose(
        found.stems["violin"].audio.samples[1], -plain.stems["violin"].audio.samples[0], atol=1e-5
    )


def test_one_sample_is_not_silent(separator: Separator) -> None:
    assert not separator.separate(Audio(np.array([[0.06]], np.float32), 16000), ["violin"]).notes


def test_a_rate_that_a_format_lacks_a_full_disk_and_a_place_of_others_are_refused_before_the_sound_is_read(
    command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(*arguments: object) -> None:
        raise AssertionError("the sound was read")

    monkeypatch.setattr("trisep.separation.streaming.survey", read)
    wav(tmp_path / "fast.wav", noise(4000, 1, 768_000))
    wav(tmp_path / "in.wav", noise(4000))
    assert command("fast.wav", "violin", "--format", "flac", "--out", "out") == 2
    assert "fast.wav: flac holds at most 655350 samples a second, this sound has 768000" in capsys.readouterr().err
    usage = type("Usage", (), {"free": 4000 * 4 * 2 - 1})
    monkeypatch.setattr("trisep.media.files.shutil.disk_usage", lambda place: usage)
    assert command("in.wav", "violin", "--out", "out") == 2
    assert "out: about 0.0 MB are to be written, and 0.0 MB are free; free some space" in capsys.readouterr().err
    monkeypatch.setattr("trisep.media.files.os.access", lambda place, mode: mode == os.R_OK)
    assert command("in.wav", "violin", "--out", "out") == 2
    assert "out: cannot be written (Permission denied)" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ["fast.wav", "in.wav"]


def test_a_file_that_the_disk_has_no_room_for_ends_no_batch_and_a_header_that_lies_is_not_believed(
    command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wav(tmp_path / "long.wav", noise(1_000_000))
    wav(tmp_path / "short.wav", noise(4000))
    (tmp_path / "lying.wav").write_bytes(wav_header(num_frames=10**9, sample_rate_hz=16000, num_channels=1, bits=32))
    with (tmp_path / "lying.wav").open("ab") as file:
        file.write(np.zeros(4000, "<f4").tobytes())
    usage = type("Usage", (), {"free": 5_000_000})
    monkeypatch.setattr("trisep.media.files.shutil.disk_usage", lambda place: usage)
    assert command("long.wav", "violin", "--also", "lying.wav", "short.wav", "--out", "out") == 1
    long, lying, *_ = (line for line in capsys.readouterr().err.splitlines() if "skipped: " in line)
    assert "are to be written" in long and "lying.wav: 62499.75 s of 62500.00 s of sound cannot be decoded" in lying
    assert (tmp_path / "out" / "short" / "violin.wav").is_file()


def test_a_sound_without_samples_is_no_sound(command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wav(tmp_path / "none.wav", Audio(np.zeros((1, 0), np.float32), 16000))
    wav(tmp_path / "in.wav", noise(4000))
    assert command("none.wav", "violin", "--out", "out") == 2
    assert command("in.wav", "violin", "--duration", "1e-9", "--out", "out") == 2
    errors = capsys.readouterr().err.splitlines()
    assert [error.split(": holds no sample")[0] for error in errors] == [
        "trisep: error: none.wav",
        "trisep: error: in.wav",
    ]
    assert not (tmp_path / "out").exists()


def test_two_at_once_in_one_folder(command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wav(tmp_path / "in.wav", noise(4000))
    with locked(tmp_path / "out"):
        assert command("in.wav", "violin", "--out", "out") == 2
        assert "out: another trisep writes there" in capsys.readouterr().err
    assert command("in.wav", "violin", "--out", "out") == 0


def test_a_query_that_is_not_understood_counts_as_absent(
    separator: Separator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        "trisep.separation.separator.reasons_not_understood",
        lambda encoder, queries: ["is nonsense" if query.text == "asdf" else None for query in queries],
    )
    queries, always = ["violin", "asdf"], SeparationOptions(threshold=0.0)
    understood, doubted = separator.separate(noise(20000), queries, always).stems.values()
    assert understood.present and not doubted.present and doubted.presence <= 0.05
    report = separator.separate_to_files(noise(20000), queries, tmp_path / "out", always)
    assert [stem["understood"] for stem in report["stems"]] == [True, False]
    assert [stem["present"] for stem in report["stems"]] == [True, False]
    assert report["notes"] == ["'asdf': is nonsense"]
    assert warning_lines(report)[0] == "asdf: is nonsense"
    unwanted = SeparationOptions(threshold=0.0, negatives=("dog", "asdf"))
    report = separator.separate_to_files(noise(20000), ["violin"], tmp_path / "unwanted", unwanted)
    notes = separator.separate(noise(20000), ["violin"], unwanted).notes
    assert report["notes"] == list(notes) == ["--not 'asdf': is nonsense"]
    assert warning_lines(report) == ["the sound: --not 'asdf': is nonsense"]


def test_words_are_embedded_once_for_all_files_of_a_batch(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Counting(FakeEncoder):
        embedded: ClassVar[list[str]] = []

        def encode_text(self, texts: Sequence[str]) -> Tensor:
            self.embedded.extend(texts)
            return super().encode_text(texts)

    loaded = Counting()
    monkeypatch.setattr(separate, "load_encoder", lambda name: loaded)
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("a", "b", "c")):
        wav(tmp_path / f"{name}.wav", noise(8000, seed=number))
    words = ["separate", "a.wav", "violin", "dog", "--also", "b.wav", "c.wav", "--not", "rain"]
    assert cli.main([*words, "--model", str(checkpoint), "--out", "out"]) == 0
    asked = [text for text in loaded.embedded if any(word in text for word in ("violin", "dog", "rain"))]
    assert sorted(asked) == sorted(
        template.format(word) for word in ("violin", "dog", "rain") for template in QUERY_TEMPLATES
    )
    assert len(set(loaded.embedded)) == len(loaded.embedded)


def test_what_an_earlier_run_left_and_goes_is_told(separator: Separator, tmp_path: Path) -> None:
    reports = [separator.separate_to_files(noise(20000), [word], tmp_path / "out") for word in ("dog", "cat", "cat")]
    assert [report["notes"] for report in reports] == [
        [],
        ["replaces an earlier run: dog.wav is gone; --out keeps runs apart"],
        [],
    ]
    assert not (tmp_path / "out" / "dog.wav").exists()


def test_threshold_decides_what_is_present(separator: Separator) -> None:
    audio = noise(8000)
    score = separator.separate(audio, ["violin"]).stems["violin"].presence
    assert 0 < score < 1
    assert separator.separate(audio, ["violin"], options=SeparationOptions(threshold=score)).stems["violin"].present
    assert (
        not separator.separate(audio, ["violin"], options=SeparationOptions(threshold=min(1.0, score + 1e-6)))
        .stems["violin"]
        .present
    )


def test_files_hold_what_memory_holds(separator: Separator, tmp_path: Path) -> None:
    audio = noise(60000, 2, 44100)
    path = wav(tmp_path / "in.wav", audio)
    picture = Query("photo", image=np.full((9, 9, 3), 77, np.uint8))
    in_memory = separator.separate(
        path, ["Rooster barking", picture, "residual"], options=SeparationOptions(segment_seconds=0.4)
    )
    report = separator.separate_to_files(
        path,
        ["Rooster barking", picture, "residual"],
        tmp_path / "out",
        options=SeparationOptions(segment_seconds=0.4),
        outputs=OutputOptions(remove=True),
    )
    assert [stem["file"] for stem in report["stems"]] == ["rooster_barking.wav", "photo.wav", "residual_2.wav"]
    assert sorted(os.listdir(tmp_path / "out")) == [
        "photo.wav",
        "report.json",
        "residual.wav",
        "residual_2.wav",
        "rooster_barking.wav",
        "without.wav",
    ]
    for entry, stem in zip(report["stems"], in_memory.stems.values(), strict=True):
        assert np.array_equal(read_audio(tmp_path / "out" / entry["file"]).samples, stem.audio.samples)
        assert entry["query"] == stem.query and entry["level_db"] == pytest.approx(stem.level_db, abs=1e-3)
        assert entry["presence"] == pytest.approx(stem.presence, abs=1e-4)
        assert entry["activity"]["hop_seconds"] == 0.1 and entry["activity"]["values"] == pytest.approx(
            stem.activity, rel=1e-3
        )
    for name in ("residual.wav", "without.wav"):
        assert np.array_equal(read_audio(tmp_path / "out" / name).samples, in_memory.residual.samples)
    expected = {
        "schema": 1,
        "input": str(path),
        "input_from_here": f"../{path.name}",
        "sample_rate_hz": 44100,
        "channels": 2,
        "duration_seconds": 60000 / 44100,
        "gain_db": 0.0,
    }
    assert {key: report[key] for key in expected} == expected
    assert (
        report["residual"] == "residual.wav"
        and report["model"]["name"] == "clipsep"
        and report["encoder"]["name"] == "fake"
    )


@pytest.mark.parametrize(("factor", "clips"), [(1.0, False), (30.0, True)])
def test_flac_shares_one_gain_that_avoids_clipping(
    separator: Separator, tmp_path: Path, factor: float, clips: bool
) -> None:
    audio = noise(30000, 2, 44100)
    audio = Audio(audio.samples * np.float32(factor), 44100)
    report = separator.separate_to_files(
        audio, ["violin", "dog"], tmp_path / "out", outputs=OutputOptions(format="flac")
    )
    assert sorted(os.listdir(tmp_path / "out")) == ["dog.flac", "report.json", "residual.flac", "violin.flac"]
    sounds = [read_audio(tmp_path / "out" / f"{name}.flac").samples for name in ("violin", "dog", "residual")]
    gain = 10 ** (report["gain_db"] / 20)
    assert (gain < 1) == clips
    assert max(np.abs(sound).max() for sound in sounds) == pytest.approx(1.0, abs=1e-6) if clips else True
    np.testing.assert_allclose(sum(sounds), audio.samples * gain, atol=1e-6)


def test_the_command_separates_and_if_asked_is_quiet(
    command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, words = wav(tmp_path / "in.wav", noise(20000, 2, 44100)), ("violin", "Dog barking")
    assert command(path, *words, "--out", "stems", "--no-residual", "--remove", "--format", "flac", "--quiet") == 0
    assert sorted(os.listdir("stems")) == ["dog_barking.flac", "report.json", "violin.flac", "without.flac"]
    assert capsys.readouterr() == ("", "")


def test_a_part_of_what_is_removed_stays(command, tmp_path: Path) -> None:
    path = wav(tmp_path / "in.wav", noise(20000, 2, 44100))
    assert command(path, "violin", "dog", "--out", "stems", "--remove", "--strength", "0.75", "--quiet") == 0
    violin, dog, residual, without = (
        read_audio(Path("stems", f"{name}.wav")).samples for name in ("violin", "dog", "residual", "without")
    )
    np.testing.assert_allclose(without, residual + 0.25 * (violin + dog), atol=1e-6)
    assert np.abs(without - residual).max() > 1e-3


def test_a_strength_out_of_range_or_of_no_use_is_refused(command, tmp_path: Path, capsys) -> None:
    path = wav(tmp_path / "in.wav", noise(20000, 2, 44100))
    for words, expected in (
        (("--remove", "--strength", "1.5"), "at most 1, not 1.5"),
        (("--remove", "--strength", "0"), "above 0"),
        (("--strength", "0.5"), "add --remove"),
    ):
        assert command(path, "violin", *words) == 2
        assert expected in capsys.readouterr().err
    assert not Path("separated").exists()


def test_the_command_says_what_it_did(command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wav(tmp_path / "in.wav", noise(20000, 2, 44100))
    assert command("in.wav", "violin", "dog", "--threshold", "1") == 0
    shown = capsys.readouterr()
    folder, _, violin, dog, rest = shown.out.splitlines()
    assert folder == "separated/in/" and violin.startswith("violin    probably not") and dog.endswith(" dog.wav")
    assert rest.startswith("the rest") and rest.endswith("residual.wav")
    report = json.loads(Path("separated/in/report.json").read_text())
    mixture = read_audio(Path("in.wav")).samples
    for name, share in [*((stem["file"], stem["share"]) for stem in report["stems"]),
                        ("residual.wav", report["residual_share"])]:  # fmt: skip
        energy = np.square(read_audio(Path("separated/in") / name).samples, dtype=np.float64).sum()
        assert share == pytest.approx(energy / np.square(mixture, dtype=np.float64).sum(), abs=1e-3)
    assert [line.split(":")[2] for line in shown.err.splitlines()] == [" violin", " dog"]
    assert command("in.wav", "violin", "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads(Path("separated/in/report.json").read_text())


def test_a_sound_in_memory_replaces_no_other(separator: Separator, tmp_path: Path) -> None:
    first, other, stereo = noise(4000), noise(4000, seed=1), noise(2000, 2)
    report = separator.separate_to_files(first, ["violin"], tmp_path)
    known = hashlib.sha256(b"16000 1 " + first.samples.tobytes()).hexdigest()
    assert report["input_sha256"] == known and report["input"] is None
    # The same sound is the same input, copied, in another form of numbers, or a section of it.
    same = Audio(first.samples.astype(np.float64), 16000)
    section = SeparationOptions(start_seconds=0.1)
    assert separator.separate_to_files(same, ["violin"], tmp_path, section)["input_sha256"] == known
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for sound in (other, stereo, Audio(first.samples, 8000)):
        with pytest.raises(
            MediaError, match="holds the stems of another sound in memory; choose another output folder"
        ):
            separator.separate_to_files(sound, ["violin"], tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    report = separator.separate_to_files(other, ["dog"], tmp_path, outputs=OutputOptions(replaces=True))
    assert report["input_sha256"] != known
    assert sorted(os.listdir(tmp_path)) == ["dog.wav", "report.json", "residual.wav"]


def test_a_folder_never_mixes_two_runs_and_is_never_anothers(separator: Separator, tmp_path: Path) -> None:
    first, other = wav(tmp_path / "a.wav", noise(4000)), wav(tmp_path / "b.wav", noise(4000))
    separator.separate_to_files(first, ["violin", "dog"], tmp_path / "out", outputs=OutputOptions(remove=True))
    (tmp_path / "out" / "mine.txt").write_text("x")
    separator.separate_to_files(first, ["cat"], tmp_path / "out", outputs=OutputOptions(residual=False))
    assert sorted(os.listdir(tmp_path / "out")) == ["cat.wav", "mine.txt", "report.json"]
    with pytest.raises(MediaError, match=f"holds the stems of {first}; choose another output folder"):
        separator.separate_to_files(other, ["cat"], tmp_path / "out")
    dog = wav(tmp_path / "dog.wav", noise(4000))
    before = dog.read_bytes()
    with pytest.raises(MediaError, match="dog.wav: is there already and no earlier result"):
        separator.separate_to_files(dog, ["dog"], tmp_path)
    assert dog.read_bytes() == before and not (tmp_path / "report.json").exists()
    (tmp_path / "report.json").write_text("[]")
    with pytest.raises(MediaError, match="report.json: is not a report of trisep"):
        separator.separate_to_files(first, ["cat"], tmp_path)


def test_a_video_with_sound_and_a_picture_as_query(command, tmp_path: Path) -> None:
    frames = [np.full((32, 32, 3), 40 * i, np.uint8) for i in range(4)]
    write_video(tmp_path / "clip.mp4", frames, fps=4, audio=noise(44100, 2, 44100))
    Image.new("RGB", (20, 10), "red").save(tmp_path / "Photo of it.png")
    assert command("clip.mp4", "--image", "Photo of it.png", "--out", "stems") == 0
    stem, mixture = read_audio(tmp_path / "stems/photo_of_it.wav"), read_audio(tmp_path / "clip.mp4")
    assert stem.samples.shape == mixture.samples.shape and stem.sample_rate_hz == 44100


def test_two_sounds_in_one_stem_take_what_any_of_them_takes(separator: Separator) -> None:
    audio = noise(20000, 2, 44100)
    apart = separator.separate(audio, ["violin", "piano"], SeparationOptions(exclusive=False))
    joined = separator.separate(audio, ["violin and piano"])
    pair = Query("both", parts=(Query("violin", text="violin"), Query("piano", text="piano")))
    np.testing.assert_allclose(joined.masks[0], 1 - (1 - apart.masks[0]) * (1 - apart.masks[1]), atol=1e-6)
    np.testing.assert_array_equal(
        separator.separate(audio, [pair]).stems["both"].audio.samples, joined.stems["violin and piano"].audio.samples
    )
    assert joined.stems["violin and piano"].presence == max(stem.presence for stem in apart.stems.values())


def test_a_negative_takes_its_share_and_is_not_written(separator: Separator, tmp_path: Path) -> None:
    audio = noise(20000, 1, 16000)
    apart = separator.separate(audio, ["violin", "wind"])
    options = SeparationOptions(negatives=("wind",))
    report = separator.separate_to_files(audio, ["violin"], tmp_path / "out", options)
    assert sorted(os.listdir(tmp_path / "out")) == ["report.json", "residual.wav", "violin.wav"]
    violin = read_audio(tmp_path / "out" / "violin.wav").samples
    np.testing.assert_allclose(violin, apart.stems["violin"].audio.samples, atol=1e-6)
    assert [stem["query"] for stem in report["stems"]] == ["violin"]


def test_a_model_that_learned_from_sounds_is_asked_with_what_its_encoder_hears(separator: Separator) -> None:
    class Hearing(FakeEncoder):
        def encode_audio(self, waveform: Tensor, sample_rate_hz: int) -> Tensor:
            return 10 * waveform[:, :8]

        def encode_audio_seconds(self, waveform: Tensor, sample_rate_hz: int) -> Tensor:
            raise AssertionError("an example is heard as a whole")

        def encode_regions(self, frames: Sequence[np.ndarray]) -> Tensor:
            raise AssertionError("an example has no picture")

        encode_tokens = token_word = encode_regions

    audio = noise(16000)
    checkpoint = replace(separator.checkpoint, card={**separator.checkpoint.card, "recipe": {"query": "sound"}})
    vector = torch.from_numpy(10 * audio.samples[0, :8])
    separation = Separator(checkpoint, Hearing()).separate(
        audio, [Query("like", sound=audio), Query("asked", vector=vector)]
    )
    assert np.abs(separation.masks[0]).max() > 0
    np.testing.assert_allclose(separation.masks[0], separation.masks[1], atol=1e-6)


def test_examples_and_spans_are_answered_and_alike(separator: Separator, tmp_path: Path) -> None:
    audio = noise(3 * 16000)
    second = Audio(audio.samples[:, 16000:32000], 16000)
    like = Query("like", sound=wav(tmp_path / "like.wav", second))
    separation = separator.separate(audio, [like, Query("when", span=(1.0, 2.0))])
    np.testing.assert_allclose(
        separation.stems["like"].audio.samples, separation.stems["when"].audio.samples, atol=1e-6
    )
    later = separator.separate(audio, [Query("when", span=(1.0, 2.0))], SeparationOptions(start_seconds=1.0))
    assert later.mixture.num_samples == 32000
    with pytest.raises(QueryError, match="the span 8-9 s lies outside"):
        separator.separate(audio, [Query("when", span=(8.0, 9.0))])
    part = separator.separate(audio, [Query("when", span=(1.0, 9.0))])
    assert any("up to the end, at about" in note for note in part.notes)


def test_the_command_asks_in_every_way(command, tmp_path: Path) -> None:
    wav(tmp_path / "in.wav", noise(4 * 16000))
    words = "--like in.wav --when 1-2.5 --not wind --stream 0 --start 0.5 --duration 3 --no-residual --quiet --out out"
    assert command("in.wav", "dog and cat", *words.split()) == 0
    assert sorted(os.listdir("out")) == ["1_2_5_s.wav", "dog_and_cat.wav", "in.wav", "report.json"]
    assert read_audio(Path("out/in.wav")).num_samples == 3 * 16000
    assert command("in.wav", "dog", "cat", "--all-of", "--quiet", "--out", "all") == 0
    assert sorted(os.listdir("all")) == ["dog_and_cat.wav", "report.json", "residual.wav"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("in.wav --when 3", "--when '3': expected two times in seconds"),
        ("in.wav dog --stream -1", "--stream must not be negative, got -1"),
        ("in.wav dog --duration 0", "--duration must be above 0"),
        ("in.wav dog --start 100", "in.wav: ends before 100 s; begin earlier"),
        ("in.wav dog --stream 3", "in.wav"),
        ("in.wav --like absent.wav", "absent.wav: no such file"),
        ("https://example.org/a.mp4 dog", "is an address, and only files are read; download it first"),
        ("in.wav dog --into-video --start 0.1", "the video comes back whole"),
    ],
)
def test_ways_to_ask_that_lead_nowhere(command, tmp_path: Path, capsys, words: str, message: str) -> None:
    wav(tmp_path / "in.wav", noise(4000))
    assert command(*words.split()) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_the_video_comes_back_with_each_sound_in_one_line(command, tmp_path: Path) -> None:
    frames = [np.full((32, 32, 3), 40 * i, np.uint8) for i in range(4)]
    write_video(tmp_path / "talk.mp4", frames, fps=4, audio=noise(44100, 2, 44100))
    assert command("talk.mp4", "traffic", "--remove", "--into-video", "--out", "out", "--audio-bitrate", "96k") == 0
    assert sorted(os.listdir("out")) == [
        "report.json", "residual.wav", "traffic.mp4", "traffic.wav", "without.mp4", "without.wav"
    ]  # fmt: skip
    report = json.loads(Path("out/report.json").read_text())
    files = {"traffic": "traffic.mp4", "without": "without.mp4"}
    assert report["videos"] == {"files": files, "sound": "AAC", "gain_db": 0.0, "left_out": []}
    for name in files:
        heard, stem = read_audio(Path(f"out/{name}.mp4")), read_audio(Path(f"out/{name}.wav"))
        assert heard.samples.shape == stem.samples.shape
        # White noise is what AAC keeps least of.
        assert np.corrcoef(heard.samples[0], stem.samples[0])[0, 1] > 0.3
        assert probe(Path(f"out/{name}.mp4")).video[0].width == 32


def test_videos_that_would_clip_are_lowered_and_floats_stay(separator: Separator, tmp_path: Path) -> None:
    frames = [np.full((32, 32, 3), 40 * i, np.uint8) for i in range(4)]
    write_video(tmp_path / "loud.mp4", frames, fps=4, audio=noise(44100, 2, 44100))
    outputs = OutputOptions(into_video=True)
    source = open_source(tmp_path / "loud.mp4")
    loud = replace(source, blocks=lambda: (block * 30 for block in source.blocks()))
    report = separator.separate_to_files(loud, ["violin"], tmp_path / "out", outputs=outputs)
    assert report["gain_db"] == 0.0 > report["videos"]["gain_db"]
    stem = read_audio(tmp_path / "out" / "violin.wav").samples * 10 ** (report["videos"]["gain_db"] / 20)
    ratio = read_audio(tmp_path / "out" / "violin.mp4").samples.std() / stem.std()
    assert ratio == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("into_video", [False, True])
def test_what_does_not_fit_is_refused_before_the_sound_is_read(
    separator: Separator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, into_video: bool
) -> None:
    def read(*arguments: object) -> None:
        raise AssertionError("the sound was read")

    path = wav(tmp_path / "in.wav", noise(4000, 3))
    monkeypatch.setattr("trisep.separation.streaming.survey", read)
    outputs = OutputOptions(into_video=True) if into_video else OutputOptions(format="mp3")
    message = "holds no picture to put a sound to" if into_video else "MP3 holds sounds of 1, 2 channels"
    with pytest.raises(MediaError, match=message):
        separator.separate_to_files(path, ["violin"], tmp_path / "out", outputs=outputs)
    with pytest.raises(MediaError, match="in memory has no picture"):
        separator.separate_to_files(noise(4000), ["violin"], tmp_path / "out", outputs=OutputOptions(into_video=True))
    assert os.listdir(tmp_path) == ["in.wav"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--audio-bitrate 64k", "a bit rate is of no use for wav; choose the format mp3"),
        ("--audio-bitrate loud --format mp3", "--audio-bitrate: expected bits per second, such as 192k, got 'loud'"),
        ("--audio-bitrate 1k --format mp3", "the bit rate must be 6k to 3072k bits per second, not 1000"),
        ("--subtype int16 --format opus", "subtype int16 does not fit opus"),
        ("dog Violin", "query 'violin' is given twice"),
        ("--not Violin", "query 'violin' is asked for and not wanted (--not)"),
    ],
)
def test_choices_that_contradict_each_other(command, tmp_path: Path, capsys, words: str, message: str) -> None:
    path = wav(tmp_path / "in.wav", noise(4000))
    assert command(path, "violin", *words.split()) == 2
    assert message in capsys.readouterr().err


def test_a_batch_skips_what_is_bad_and_says_so(command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name in ("a.wav", "b.wav"):
        wav(folder / name, noise(4000))
    (folder / "bad.mp4").write_text("no video at all")
    (folder / "notes.txt").write_text("not an input")
    other = wav(tmp_path / "a.wav", noise(4000))
    assert command(folder, "violin", "--also", other, "--out", "out") == 1
    assert sorted(os.listdir("out")) == ["a", "a_2", "b", "batch.json"]
    assert (tmp_path / "out/a_2/violin.wav").is_file()
    error = capsys.readouterr().err.splitlines()
    assert error[0] == "trisep: left out, as neither sound nor video: notes.txt"
    assert len(error) == 3 and "bad.mp4" in error[1] and "3 of 4 inputs done, 1 skipped" in error[2]
    batch = json.loads((tmp_path / "out/batch.json").read_text())
    assert (batch["done"], batch["skipped"]) == (3, 1)
    assert [entry["folder"] for entry in batch["inputs"]] == ["a", "b", None, "a_2"]


def test_a_batch_in_which_nothing_works(command, tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "all/bad.mp4").write_text("no video at all")
    assert command("all", "violin", "--out", "out") == 2
    assert not (tmp_path / "out").exists()


def make_inputs(folder: Path) -> None:
    """One of each kind of input that cannot work."""
    (folder / "text.mp4").write_text("this is not a video " * 50)
    (folder / "empty.wav").write_bytes(b"")
    write_video(folder / "mute.mp4", [np.zeros((32, 32, 3), np.uint8)] * 3, fps=5)
    write_video(folder / "whole.mp4", [np.zeros((32, 32, 3), np.uint8)] * 10, fps=5, audio=noise(88200, 1, 44100))
    (folder / "cut.mp4").write_bytes((folder / "whole.mp4").read_bytes()[: (folder / "whole.mp4").stat().st_size // 2])
    samples = noise(3000).samples.copy()
    wav(folder / "good.wav", Audio(samples, 16000))
    data = bytearray((folder / "good.wav").read_bytes())
    data[-8:-4] = np.float32(np.nan).tobytes()
    (folder / "nan.wav").write_bytes(bytes(data))
    (folder / "nomedia").mkdir()
    (folder / "picture.jpg").write_text("not a picture")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("absent.mp4", "violin"), "absent.mp4: no such file"),
        (("text.mp4", "violin"), "text.mp4"),
        (("mute.mp4", "violin"), "mute.mp4: holds no sound"),
        (("empty.wav", "violin"), "empty.wav: the file is empty"),
        (("cut.mp4", "violin"), "cut.mp4"),
        (("nan.wav", "violin"), "not finite"),
        (("nomedia", "violin"), "nomedia: the folder holds no sound or video"),
        (("good.wav", "  "), "empty"),
        (("good.wav", "violin", "--model", "nonsense"), "unknown model 'nonsense'"),
        (("good.wav", "--image", "picture.jpg"), "picture.jpg: is not a picture"),
        (("good.wav", "--image", "absent.jpg"), "absent.jpg: no such file"),
        (("good.wav", "violin", "--out", "good.wav"), "good.wav"),
        (("good.wav", "violin", "--out", "good.wav/sub"), "good.wav"),
        (("good.wav", "violin", "--out", "/proc/nowhere"), "/proc/nowhere"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line_and_leaves_nothing(command, words, expected, tmp_path, capsys) -> None:
    make_inputs(tmp_path)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    assert command(*words) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.startswith("trisep: error: ") and output.err.count("\n") == 1
    assert expected in output.err and "Traceback" not in output.err and ".trisep-" not in output.err
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("when", ["write", "replace", "report"])
@pytest.mark.parametrize("file_format", ["wav", "flac"])
def test_a_disk_that_refuses_leaves_nothing(command, number, when, file_format, tmp_path, monkeypatch, capsys) -> None:
    wav(tmp_path / "good.wav", noise(30000))

    def refuse(*arguments: object, **named: object) -> None:
        raise OSError(number, os.strerror(number), "somewhere")

    if when == "write":
        monkeypatch.setattr("trisep.media.audio_writer._ReportingFile.write_now", refuse)
    elif when == "replace":
        monkeypatch.setattr("trisep.media.files.os.replace", refuse)
    else:
        monkeypatch.setattr("trisep.media.files.Path.write_bytes", refuse)
    assert command("good.wav", "violin", "--out", "new/stems", "--format", file_format) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and os.strerror(number) in error and ".trisep-" not in error
    assert os.listdir(tmp_path) == ["good.wav"]


def test_a_failing_run_keeps_earlier_results(
    separator: Separator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    separator.separate_to_files(noise(9000), ["violin"], tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def refuse(*arguments: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr("trisep.media.files.Path.write_bytes", refuse)
    with pytest.raises(MediaError, match="No space left"):
        separator.separate_to_files(
            noise(9000, seed=5), ["violin"], tmp_path / "out", outputs=OutputOptions(replaces=True)
        )
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_wrong_calls_from_python(separator: Separator, checkpoint: Path) -> None:
    with pytest.raises(QueryError, match="nothing to separate"):
        separator.separate(noise(100), [])
    with pytest.raises(QueryError, match="empty"):
        separator.separate(noise(100), [""])
    with pytest.raises(MediaError, match="not finite"):
        separator.separate(Audio(np.full((1, 10), np.nan, np.float32), 16000), ["violin"])
    with pytest.raises(MediaError, match="empty"):
        separator.separate(Audio(np.zeros((1, 0), np.float32), 16000), ["violin"])
    for seconds in (0.0, float("inf")):
        with pytest.raises(ConfigError, match="segment_seconds"):
            separator.separate(noise(100), ["violin"], options=SeparationOptions(segment_seconds=seconds))
    with pytest.raises(ConfigError, match="device 'abacus'"):
        trisep.load(checkpoint, device="abacus", encoder=FakeEncoder())
    with pytest.raises(CheckpointError, match="expected a checkpoint folder, hf:OWNER/NAME or one of these names"):
        trisep.load("nonsense", encoder=FakeEncoder())


def test_another_encoder_is_refused(checkpoint: Path) -> None:
    other = FakeEncoder()
    other.fingerprint = "0" * 64
    with pytest.raises(CheckpointError, match="trained with encoder 'fake'"):
        trisep.load(checkpoint, encoder=other)


def test_the_same_query_twice_keeps_both(separator: Separator) -> None:
    assert list(separator.separate(noise(3000), ["dog", "dog"]).stems) == ["dog", "dog_2"]


def test_presence_features_are_those_of_a_separation(separator: Separator) -> None:
    features = separator.presence_features(noise(20000), ["violin", "dog"], references=["noise", "rain"])
    assert len(features) == 2 and {"level_ratio_db", "relative_mean_logit"} <= set(features[0])
    alone = separator.presence_features(noise(20000), ["dog"])
    assert alone[0]["mean_logit"] == pytest.approx(features[1]["mean_logit"], rel=1e-4)


class LoudnessTower:
    """Hears how loud each step of 0.256 s is: the logits of eight classes are multiples of it."""

    embeddings = torch.eye(8)
    usual = torch.zeros(8), torch.ones(8)

    def embed_portion(self, sounds: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(sounds, (0, -sounds.shape[1] % 4096))
        return padded.abs().unflatten(1, (-1, 4096)).mean(dim=2, keepdim=True)

    def classify(self, embeddings: Tensor) -> Tensor:
        return embeddings * torch.arange(1.0, 9.0)


class HearingEncoder(FakeEncoder):
    """The same with an audio tower."""

    sounds = LoudnessTower()


def test_presence_takes_what_is_heard_in_the_stems_of_words(checkpoint: Path) -> None:
    heard = EvidenceWeights(features=("evidence",), weights=(1.0,), bias=0.0)
    separator, deaf = (trisep.load(checkpoint, device="cpu", encoder=one()) for one in (HearingEncoder, FakeEncoder))
    audio, queries = noise(90000), ["dog", Query("picture", image=np.zeros((9, 9, 3), np.uint8))]
    for one in (separator, deaf):
        one.calibration = replace(one.calibration, with_evidence=heard)
    found, levels = (one.separate(audio, queries).stems for one in (separator, deaf))
    evidence = separator.presence_features(audio, ["dog"])[0]["evidence"]
    assert separator.separate(audio, ["dog"]).stems["dog"].presence == pytest.approx(1 / (1 + math.exp(-evidence)))
    assert found["picture"].presence == levels["picture"].presence
    assert found["dog"].presence != pytest.approx(levels["dog"].presence, abs=1e-3)
    in_parts = separator.separate(audio, queries, SeparationOptions(segment_seconds=1.0)).stems
    assert in_parts["dog"].presence == pytest.approx(found["dog"].presence, abs=1e-4)


def test_models_and_info(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == list(available_models())
    assert cli.main(["models"]) == 0
    capsys.readouterr()
    assert cli.main(["info", str(checkpoint), "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card["model"] == "clipsep" and card["encoder"] == "fake" and card["weights_bytes"] > 0
    assert cli.main(["info", "nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err


@pytest.mark.slow
def test_importing_the_package_is_light_and_its_names_are_there() -> None:
    assert trisep.__all__ == sorted(trisep.__all__)
    assert all(getattr(trisep, name).__name__ == name for name in trisep.__all__)
    modules = {path.stem for path in Path(trisep.__file__).parent.iterdir()}
    assert not modules & set(trisep.__all__)
    with pytest.raises(AttributeError, match="loud"):
        trisep.loud  # noqa: B018
    program = "import sys, trisep; assert not {'torch', 'numpy', 'av'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_standard_input_is_an_input(command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    wav(tmp_path / "in.wav", noise(9000))
    assert command("in.wav", "dog", "--out", "file") == 0

    def pipe(content: bytes) -> None:
        """What comes from another program."""
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    pipe((tmp_path / "in.wav").read_bytes())
    assert command("-", "dog") == 0
    assert Path("separated/stdin/dog.wav").read_bytes() == Path("file/dog.wav").read_bytes()
    assert json.loads(Path("separated/stdin/report.json").read_text())["input"] == "standard input"
    capsys.readouterr()
    for content, message in (
        ((tmp_path / "in.wav").read_bytes(), "separated/stdin: holds the stems of standard input; choose another"),
        (b"", "standard input: the file is empty"),
        (b"no sound at all", "standard input: cannot be read as sound or video"),
    ):
        pipe(content)
        assert command("-", "dog") == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


@pytest.mark.slow
def test_a_separator_starts_without_what_only_boxes_need() -> None:
    program = "import sys, trisep.separation.separator, trisep.web.worker; assert 'scipy.ndimage' not in sys.modules"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
