"""Localisation end to end with a tiny VAST and an encoder that sees colours: maps, files, and everything a user can get
wrong.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor

import trisep
from trisep import cli
from trisep.checkpoints.format import save_model
from trisep.errors import ConfigError
from trisep.media.audio import read_audio
from trisep.media.audio_writer import write_audio
from trisep.media.image import read_image
from trisep.media.probe import probe
from trisep.media.video import write_video
from trisep.metrics.localization import peaks
from trisep.models import clipsep, vast
from trisep.networks.audio_unet import UNetConfig
from trisep.queries.captions import CaptionSettings, find_captions
from trisep.separation import separator as separate
from trisep.separation.infer import network_input, round_up
from trisep.separation.localize import audio_vector, centre_seconds, heat_maps, localize, stream_regions, summary_lines
from trisep.separation.presences import Presence
from trisep.spectrogram.log_frequency import to_log_frequency
from trisep.spectrogram.stft import stft
from trisep.types import Audio, Localization, QueryEmbedding, SignalSettings

COLOURS = ("red", "green", "blue")
RATE_HZ = 16000


class ColourEncoder:
    """Pictures are their mean colour, words the colours they name; three of eight dimensions are used."""

    name = "colours"
    dim = 8
    fingerprint = "c" * 64
    token_table = torch.eye(8)

    def token_word(self, number: int) -> str:
        return str(number)

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        return torch.tensor([[float(colour in text) for colour in COLOURS] + [0.1] * 5 for text in texts])

    def encode_image(self, frames: Sequence[np.ndarray]) -> Tensor:
        return self.encode_regions(frames).mean(dim=(1, 2))

    def encode_regions(self, frames: Sequence[np.ndarray]) -> Tensor:
        pictures = torch.stack([torch.from_numpy(frame.copy()).permute(2, 0, 1).float() / 255 for frame in frames])
        cells = torch.nn.functional.adaptive_avg_pool2d(pictures, 7).permute(0, 2, 3, 1)
        return torch.cat([cells, torch.full((*cells.shape[:3], 5), 0.1)], dim=-1)

    def encode_tokens(self, token_embeddings: Tensor) -> Tensor:
        return token_embeddings.mean(dim=1)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny model that embeds sound beside pictures, and one that does not."""
    unet = UNetConfig(num_levels=3, base_width=4, max_width=8, out_channels=4)
    configs = {"vast": vast.Config.tiny(), "clipsep": clipsep.Config(embedding_dim=8, unet=unet)}
    card = {"signal": asdict(SignalSettings()), "encoder": "colours", "encoder_fingerprint": "c" * 64}
    folder = tmp_path_factory.mktemp("models")
    for name, config in configs.items():
        torch.manual_seed(1)
        save_model(folder / name, config.build(), model_name=name, card=card)
    return {name: folder / name for name in configs}


@pytest.fixture(scope="session")
def separator(checkpoints: dict[str, Path]) -> trisep.Separator:
    return trisep.load(checkpoints["vast"], device="cpu", encoder=ColourEncoder())


def tone(seconds: float) -> Audio:
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return Audio(
        (0.3 * np.sin(2 * np.pi * 440 * times) * (1 + times)).astype(np.float32)[None] / (1 + seconds), RATE_HZ
    )


def moving_square(path: Path, audio: Audio | None = None) -> Path:
    """Two seconds at 8 frames a second, 56 × 98: a red square above on the left, then below on the right; the rest is
    green.
    """
    frames = np.zeros((16, 56, 98, 3), np.uint8)
    frames[..., 1] = 200
    frames[:8, 8:24, 14:42] = frames[8:, 32:48, 56:84] = (250, 0, 0)
    write_video(path, frames, fps=8, audio=audio)
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return moving_square(tmp_path_factory.mktemp("media") / "clip.mp4", tone(2.0))


@pytest.fixture
def command(checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Runs `trisep localize` with the stand-in encoder and returns the exit code."""
    monkeypatch.setattr(separate, "load_encoder", lambda name: ColourEncoder())
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> int:
        model = () if "--model" in words else ("--model", checkpoints["vast"])
        return cli.main(["localize", *map(str, (*words, *model))])

    return run


def test_maps_are_a_softmax_of_cosines() -> None:
    regions = torch.tensor([[[[3.0, 0.0], [0.0, 2.0]]], [[[1.0, 1.0], [-1.0, 0.0]]]])  # two frames of 1 × 2 regions
    maps = heat_maps(regions, torch.tensor([5.0, 0.0]), temperature=0.5)
    cosines = np.array([[[1.0, 0.0]], [[np.sqrt(0.5), -1.0]]])
    expected = np.exp(cosines / 0.5)
    np.testing.assert_allclose(maps, expected / expected.sum(axis=(1, 2), keepdims=True), rtol=1e-6)


def test_words_are_followed_through_the_frames(separator: trisep.Separator, clip: Path) -> None:
    (found,) = localize(clip, ["red ball"], model=separator)
    assert found.query == "red ball" and found.frame_times_seconds == tuple(np.arange(8) / 4)
    np.testing.assert_allclose(found.maps.sum(axis=(1, 2)), 1, atol=1e-5)
    x, y = peaks(found.maps).T
    np.testing.assert_allclose(x, [2.0 / 7] * 4 + [5.0 / 7] * 4, atol=0.11)
    np.testing.assert_allclose(y, [2.0 / 7] * 4 + [5.0 / 7] * 4, atol=0.11)
    assert len(localize(clip, ["red ball"], model=separator, fps=60)[0].maps) == 16  # the video has no more frames
    (soft,) = localize(clip, ["red ball"], model=separator, temperature=1.0)
    assert soft.maps.max() < 0.05 < found.maps.max()


@pytest.mark.parametrize("seconds", [2.0, 6.0])
def test_a_sound_is_embedded_as_the_mask_makes_it(separator: trisep.Separator, tmp_path: Path, seconds: float) -> None:
    path, audio = tmp_path / "sound.wav", tone(seconds)
    write_audio(path, audio, subtype="wav_float32")
    waveform = torch.from_numpy(audio.samples)
    gain = 10 ** (-20 / 20) / float(waveform.std(correction=0))
    magnitude = to_log_frequency(stft(waveform, separator.signal).abs() * gain)
    vectors = torch.nn.functional.normalize(ColourEncoder().encode_text(["blue"]), dim=-1)
    padded = network_input(magnitude, round_up(magnitude.shape[-1], 8))
    output = separator.model(padded, QueryEmbedding(vectors=vectors[None]))
    separated = output.masks[0, 0, :, : magnitude.shape[-1]] * magnitude[0]
    pieces = separated.split(256, dim=-1)  # the length of a training clip
    embeddings = [
        separator.model.embed_audio(network_input(piece[None], round_up(piece.shape[-1], 8)))[0] for piece in pieces
    ]
    energies = [float(piece.square().sum()) for piece in pieces]
    expected = sum(energy * one for energy, one in zip(energies, embeddings, strict=True)) / sum(energies)
    torch.testing.assert_close(audio_vector(separator, path, "blue"), expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("by", ["audio", "caption"])
def test_a_sound_and_a_caption_can_be_looked_for(separator: trisep.Separator, clip: Path, by) -> None:
    (found,) = localize(clip, ["red ball"] if by == "audio" else (), by=by, model=separator, fps=2)
    assert found.query == ("red ball" if by == "audio" else "latent caption")
    if by == "audio":
        vector = audio_vector(separator, clip, "red ball")
    else:
        centre = list(stream_regions(clip, separator.encoder, fps=8))[8][1].mean(dim=(0, 1))[None]
        assert centre_seconds(clip) == pytest.approx(1.0, abs=0.05)
        vector = find_captions(separator.encoder, centre, CaptionSettings()).captions[0]
    regions = torch.stack([one for _, one, _ in stream_regions(clip, separator.encoder, fps=2)])
    np.testing.assert_allclose(found.maps, heat_maps(regions, vector), atol=1e-4)


def test_the_summary_names_the_cell_that_is_hottest_over_all_frames() -> None:
    maps = np.zeros((3, 2, 4), np.float32)
    maps[0, 0, 0], maps[1:, 1, 3] = 1.0, 0.6
    found = [Localization(maps, frame_times_seconds=(0.0, 1.0, 2.0), query=name) for name in ("dog", "a\x1b[31m cat")]
    assert summary_lines(found, [Path("heat.mp4"), Path("heat.png")]) == [
        "heat.mp4, heat.png",
        "dog         mostly at 0.88,0.75",
        "a [31m cat  mostly at 0.88,0.75",
    ]
    wide = [replace(one, query=name) for one, name in zip(found, ("小提琴", "dog"), strict=True)]
    assert summary_lines(wide, [])[1:] == ["小提琴  mostly at 0.88,0.75", "dog     mostly at 0.88,0.75"]


@pytest.mark.parametrize(
    ("asked", "by", "told"),
    [
        (("red", "qwrty"), "text", ["qwrty: is nonsense"]),
        (("red and qwrty",), "text", ["red and qwrty: is nonsense"]),
        (("qwrty",), "audio", ["qwrty: is nonsense"]),
        ((), "caption", []),
    ],
)
def test_words_that_are_not_understood_are_told_as_separate_tells_them(
    command, clip: Path, monkeypatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], asked, by, told
) -> None:
    monkeypatch.setattr(
        "trisep.queries.understanding._reason", lambda _, text: "is nonsense" if text[0] == "q" else None
    )
    monkeypatch.setattr(
        "trisep.separation.localize.presences",
        lambda separator, path, asked, **more: [Presence(0.9, True)] * len(asked),
    )
    assert command(clip, *asked, "--by", by, "--out", "heat.png", "--arrays") == 0
    assert capsys.readouterr().err.splitlines() == [f"trisep: warning: {line}" for line in told]
    with np.load(tmp_path / "heat.npz") as arrays:
        assert arrays["understood"].tolist() == ["q" not in word for word in asked or ("caption",)]


def test_what_is_not_heard_is_told_with_its_place(
    command, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [Presence(0.8, True), Presence(0.21, False), Presence()]
    monkeypatch.setattr("trisep.separation.localize.presences", lambda *given, **more: found)
    assert command(clip, "red", "green", "blue", "--out", "heat.png", "--arrays") == 0
    told, warned = capsys.readouterr()
    assert [line.split("  ")[-1] for line in told.splitlines()[1:3]] == ["heard", "probably not heard"]
    assert told.splitlines()[3].split()[:2] == ["blue", "mostly"] and "heard" not in told.splitlines()[3]
    assert warned == (
        "trisep: warning: green: probably not heard (presence 0.21); its map shows where the picture is most like it\n"
    )
    with np.load(tmp_path / "heat.npz") as arrays:
        np.testing.assert_array_equal(arrays["presence"], [0.8, 0.21, np.nan])
        assert arrays["present"].tolist() == [True, False, False]


def test_a_place_has_the_presence_that_separate_finds(separator: trisep.Separator, clip: Path, tmp_path: Path) -> None:
    words = ["red", "green and blue"]
    stems = separator.separate(clip, words).stems
    found = localize(clip, words, model=separator, fps=1)
    assert [one.presence for one in found] == pytest.approx([stems[word].presence for word in words], abs=1e-6)
    assert [one.present for one in found] == [stems[word].present for word in words]
    assert len({round(one.presence or 0, 4) for one in found}) == 2
    mute = moving_square(tmp_path / "mute.mp4")
    assert localize(mute, ["red"], model=separator, fps=1)[0].presence is None
    assert localize(clip, by="caption", model=separator, fps=1)[0].present is None


def test_the_command_writes_video_picture_and_arrays(
    command, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(clip, "red ball", "--out", "new/heat.mp4", "--arrays", "--fps", "2") == 0
    told = capsys.readouterr().out.splitlines()
    assert sorted(told[0].split(", ")) == ["new/heat.mp4", "new/heat.npz", "new/heat.png"]
    assert len(told) == 2 and told[1].startswith("red ball  mostly at 0."), told
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["heat.mp4", "heat.npz", "heat.png"]
    info = probe(tmp_path / "new/heat.mp4")
    assert (info.video[0].width, info.video[0].height, info.video[0].fps) == (98, 56, 8.0)
    heard, original = (read_audio(path).samples[0, :30000] for path in (tmp_path / "new/heat.mp4", clip))
    assert np.corrcoef(heard, original)[0, 1] > 0.99
    with np.load(tmp_path / "new/heat.npz") as arrays:
        assert arrays["maps"].shape == (1, 4, 7, 7) and list(arrays["queries"]) == ["red ball"]
        np.testing.assert_allclose(arrays["frame_times_seconds"], [0, 0.5, 1, 1.5])
    picture = read_image(tmp_path / "new/heat.png").astype(int)
    assert picture.shape == (56, 98, 3)
    square, ground = picture[36:44, 62:78], picture[4:20, 4:20]
    assert (
        square[..., 1].mean() > 60 and abs(ground - [0, 200, 0]).max() < 12
    )  # hot where it is red, untouched elsewhere


def test_an_overlay_is_upright_and_needs_no_sound(command, tmp_path: Path) -> None:
    with av.open("turned.mov", "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.set_display_rotation(90)
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), (200, 50, 0), np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 5)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert command("turned.mov", "green", "--out", "folder") == 0
    info = probe(tmp_path / "folder/heat.mp4")
    assert (info.video[0].width, info.video[0].height, info.video[0].rotation_degrees, info.audio) == (48, 64, 0, ())
    assert command("turned.mov", "green", "--out", "folder", "--into-video") == 0
    with av.open("folder/heat.mov") as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert len(list(container.decode(video=0))) == 5
    assert command("turned.mov", "--by", "caption", "--out", "alone.PNG") == 0
    assert read_image(tmp_path / "alone.PNG").shape == (64, 48, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone.PNG", "folder", "turned.mov"]


def with_byte_sound(path: Path, clip: Path) -> None:
    """The picture of a clip with a sound in a codec that mp4 has no place for."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as container:
        picture = container.add_stream_from_template(source.streams.video[0])
        voice = container.add_stream("pcm_u8", rate=44100, layout="mono")
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = picture
                container.mux(packet)
        frame = av.AudioFrame.from_ndarray(np.full((1, 2048), 128, np.uint8), format="u8", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 44100, 0, Fraction(1, 44100)
        container.mux(voice.encode(frame))
        container.mux(voice.encode())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("clip.mp4",), "nothing to look for"),
        (("clip.mp4", " "), "is empty"),
        (("clip.mp4", "red", "--fps", "0"), "--fps must be between 0.01 and 60"),
        (("clip.mp4", "red", "--fps", "inf"), "--fps must be between 0.01 and 60"),
        (("clip.mp4", "red", "--temperature", "1e-40"), "--temperature must be between 0.0001 and 100"),
        (("clip.mp4", "red", "--by", "smell"), "smell"),
        (("clip.mp4", "red", "--by", "caption"), "not for 'red': leave one out"),
        (("clip.mp4", "red", "--out", "heat.jpg"), "expected a video (.mp4, .mov, .mkv), a picture (.png) or a folder"),
        (("clip.mp4", "red", "--out", "./clip.mp4"), "is the video itself"),
        (("clip.mp4", "red", "--out", "a.png", "--into-video"), "a.png: is a picture, and --into-video writes a video"),
        (("clip.mp4", "red", "--out", "a.avi", "--into-video"), "--out a.avi: expected a video (.mp4, .mov, .mkv)"),
        (("bytes.mkv", "red", "--out", "a.mp4", "--into-video"), "a .mp4 file cannot hold pcm_u8 sound); use .mkv"),
        (("clip.mp4", "red", "--out", "sound.wav/heat.png"), "cannot be written"),
        (("missing.mp4", "red"), "no such file"),
        (("sound.wav", "red"), "holds no picture"),
        (("sound.wav", "red", "--by", "audio"), "holds no picture"),
        (("silent.mp4", "red", "--by", "audio"), "is silent"),
        (("mute.mp4", "red", "--by", "audio"), "sound"),
        (("clip.mp4", "red", "--by", "audio", "--model", "CLIPSEP"), "a checkpoint of kind vast"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line_and_leaves_nothing(
    command, words, expected, checkpoints, clip, tmp_path, capsys
) -> None:
    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    write_audio(tmp_path / "sound.wav", tone(0.5), subtype="wav_float32")
    if words[0] == "bytes.mkv":
        with_byte_sound(tmp_path / "bytes.mkv", clip)
    if words[0] in ("silent.mp4", "mute.mp4"):
        silence = Audio(np.zeros((1, 2 * RATE_HZ), np.float32), RATE_HZ)
        moving_square(tmp_path / words[0], silence if words[0] == "silent.mp4" else None)
    before = sorted(tmp_path.rglob("*"))
    assert command(*(checkpoints["clipsep"] if word == "CLIPSEP" else word for word in words)) == 2
    error = capsys.readouterr().err
    assert expected in error and error.count("\n") == 1, error
    assert sorted(tmp_path.rglob("*")) == before


def test_the_function_checks_its_own_arguments(separator: trisep.Separator, clip: Path, unchecked_shapes: None) -> None:
    for wrong in ({"by": "smell"}, {"fps": float("inf")}, {"temperature": 1e-40}, {"temperature": float("nan")}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            localize(clip, ["red"], model=separator, **wrong)


def test_several_queries_have_one_map_and_one_colour_each(command, separator, clip: Path, tmp_path: Path) -> None:
    both = localize(clip, ["red ball", "green"], model=separator, fps=2)
    assert [one.query for one in both] == ["red ball", "green"]
    for one in both:
        (alone,) = localize(clip, [one.query], model=separator, fps=2)
        np.testing.assert_array_equal(one.maps, alone.maps)
    assert command(clip, "red ball", "green", "--out", "heat.png", "--arrays") == 0
    with np.load(tmp_path / "heat.npz") as arrays:
        assert arrays["maps"].shape == (2, 8, 7, 7) and list(arrays["queries"]) == ["red ball", "green"]
    picture = read_image(tmp_path / "heat.png").astype(int)
    over_the_square = picture[36:44, 62:78].mean(axis=(0, 1))
    assert over_the_square[0] > 200 and over_the_square[1] > 60  # the first colour, orange, over red


def test_into_video_keeps_the_times_of_frames_and_every_sound(command, tmp_path: Path) -> None:
    rate, times = 48000, np.cumsum([0, 40, 40, 200, 40, 120, 40, 300, 40, 40])
    sounds = [np.random.default_rng(seed).normal(0, 0.1, (1, rate)).astype(np.float32) for seed in (0, 1)]
    with av.open("film.mkv", "w") as container:
        picture = container.add_stream("libx264", rate=25)
        picture.height, picture.width, picture.pix_fmt = 48, 64, "yuv420p"
        picture.codec_context.time_base = Fraction(1, 1000)
        voices = [container.add_stream(codec, rate=rate, layout="mono") for codec in ("pcm_s16le", "libopus")]
        for stamp in times:
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), (200, 50, 0), np.uint8), format="rgb24")
            frame.pts, frame.time_base = int(stamp), Fraction(1, 1000)
            container.mux(picture.encode(frame))
        container.mux(picture.encode())
        for voice, sound in zip(voices, sounds, strict=True):
            for begin in range(0, rate, 960):
                part = np.ascontiguousarray(sound[:, begin : begin + 960])
                part = (32767 * part).astype(np.int16) if voice.name == "pcm_s16le" else part
                frame = av.AudioFrame.from_ndarray(
                    part, format="s16" if part.dtype == np.int16 else "flt", layout="mono"
                )
                frame.sample_rate, frame.pts, frame.time_base = rate, begin, Fraction(1, rate)
                container.mux(voice.encode(frame))
            container.mux(voice.encode())
        container.set_chapters(
            [{"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000), "metadata": {"title": "one"}}]
        )
    assert command("film.mkv", "red", "--into-video") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mkv", "heat.mkv", "heat.png"]
    for stream in (0, 1):
        old, new = (read_audio(path, stream=stream).samples for path in (Path("film.mkv"), Path("heat.mkv")))
        np.testing.assert_array_equal(new, old)
    with av.open("heat.mkv") as container:
        np.testing.assert_allclose([frame.time for frame in container.decode(video=0)], times / 1000, atol=1e-3)
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["one"]


def test_into_video_keeps_sound_and_picture_together_in_mp4(command, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    assert command("clip.mp4", "red", "green", "--into-video", "--out", "new") == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["heat.mp4", "heat.png"]
    np.testing.assert_array_equal(read_audio(tmp_path / "new/heat.mp4").samples, read_audio(clip).samples)
    old, new = probe(clip), probe(tmp_path / "new/heat.mp4")
    assert new.duration_seconds == pytest.approx(old.duration_seconds, abs=0.13)
