"""A sound as a query: what is listened to, and which words are heard in it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from linear_text import LinearText

from trisep.encoders.audio_tower import SoundClasses
from trisep.errors import MediaError, QueryError
from trisep.media.audio import write_audio
from trisep.separation.examples import (
    Examples,
    candidates,
    example_of,
    mean_of_most_heard,
    parts_taken,
    section_tried,
    sound_words,
    span_notes,
    vector_tried,
)
from trisep.separation.infer import MaskSegment
from trisep.separation.source import mono_section, open_source
from trisep.types import Audio, Query, SignalSettings

RATE_HZ = 16000


def noise(seconds: float) -> Audio:
    """A sound whose samples tell their place, since hardly two are alike."""
    samples = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * RATE_HZ)).astype(np.float32)
    return Audio(np.tile(samples, (2, 1)), RATE_HZ)


def test_the_words_are_many_and_different() -> None:
    words = sound_words()
    assert 80 <= len(words) == len(set(words)) <= 150 and all(word == word.strip().lower() for word in words)


def test_a_section_of_a_source_is_read_to_the_sample(tmp_path: Path) -> None:
    sound = noise(10.0)
    for source in (open_source(sound), open_source(_written(tmp_path, sound))):
        found = mono_section(source, RATE_HZ, begin=5.0, end=7.5)
        np.testing.assert_array_equal(found, sound.samples[0, 80000:120000])
        assert len(mono_section(source, RATE_HZ, begin=9.0, end=99.0)) == RATE_HZ
        assert len(mono_section(source, RATE_HZ, begin=11.0, end=12.0)) == 0
    for source in (sound, _written(tmp_path, sound)):
        part = open_source(source, start_seconds=2.0, duration_seconds=1.5)
        read = np.concatenate(list(part.blocks()), axis=1)
        np.testing.assert_array_equal(read, sound.samples[:, 32000:56000])
        with pytest.raises(MediaError, match="ends before 20 s; begin earlier"):
            open_source(source, start_seconds=20.0)


def test_what_of_a_span_is_not_listened_to_is_told() -> None:
    source = open_source(noise(20.0), start_seconds=5.0, duration_seconds=10.0)
    spans = [(6.0, 14.0), (6.0, 14.5), (13.0, 15.0), (13.0, 16.0), (7.5, 99.0), (6.0, 99.0)]
    assert [span_notes([Query("it", span=span), Query("dog", text="dog")], source, 5.0) for span in spans] == [
        [],
        ["of the span 6-14.5 s the first 8 s are listened to"],
        [],
        ["the span 13-16 s is listened to up to the end, at about 15 s"],
        ["the span 7.5-99 s is listened to up to the end, at about 15 s"],
        ["of the span 6-99 s the first 8 s are listened to"],
    ]
    assert span_notes([Query("it", span=(13.0, 16.0))], replace(source, declared_samples=0)) == []


def _written(folder: Path, sound: Audio) -> Path:
    folder.mkdir(exist_ok=True)
    write_audio(folder / "a.wav", sound, subtype="wav_float32")
    return folder / "a.wav"


def test_a_span_counts_from_the_begin_of_the_file_and_an_example_has_eight_seconds(tmp_path: Path) -> None:
    sound = noise(12.0)
    section = open_source(sound, start_seconds=2.0)
    heard = example_of(Query("span", span=(3.0, 4.0)), section, RATE_HZ, start_seconds=2.0)
    np.testing.assert_array_equal(heard, sound.samples[0, 48000:64000])
    example = example_of(Query("like", sound=_written(tmp_path, sound)), section, RATE_HZ, start_seconds=2.0)
    np.testing.assert_array_equal(example, sound.samples[0, : 8 * RATE_HZ])
    outside = "outside what is separated of the sound, which begins at 2 s and ends at about 12 s; choose a span inside"
    for query in (Query("late", span=(30.0, 31.0)), Query("early", span=(0.5, 1.0))):
        with pytest.raises(QueryError, match=outside):
            example_of(query, section, RATE_HZ, start_seconds=2.0)
    file = open_source(_written(tmp_path, sound))
    with pytest.raises(QueryError, match=r"30-31 s lies outside .*a\.wav, which begins at 0 s and ends at about 12 s"):
        example_of(Query("late", span=(30.0, 31.0)), file, RATE_HZ)
    with pytest.raises(QueryError, match="holds only silence"):
        example_of(Query("like", sound=Audio(np.zeros((1, 8000), np.float32), RATE_HZ)), section, RATE_HZ)


def test_the_words_that_take_most_of_the_energy_are_averaged() -> None:
    masks = torch.zeros(5, 256, 2)
    masks[1, :, 0], masks[2], masks[3, :, 1] = 0.5, 0.8, 0.5
    magnitude = torch.tensor([3.0, 1.0]).expand(256, 2)
    parts = parts_taken(masks, magnitude)
    # Nine tenths of the energy are in the first frame.
    torch.testing.assert_close(parts, torch.tensor([0.0, 0.45, 0.8, 0.05, 0.0]))
    vector, words = mean_of_most_heard(torch.eye(5), parts, list("abcde"))
    assert words == ("c", "b", "d")
    torch.testing.assert_close(vector, torch.tensor([0.0, 0.45, 0.8, 0.05, 0.0]) / 1.3)


class Tower:
    """Three classes, low, high and nothing: the share of a sound's energy below and above 1 kHz, in one step."""

    embeddings = torch.eye(3)
    usual = (torch.zeros(3), torch.ones(3))

    def embed_portion(self, sounds: torch.Tensor) -> torch.Tensor:
        power = torch.fft.rfft(sounds).abs().square()
        edge = power.shape[-1] // 8
        low, high = power[:, :edge].sum(dim=-1), power[:, edge:].sum(dim=-1)
        return torch.stack([low, high, 0 * low], dim=-1)[:, None] / (low + high + 1e-9)[:, None, None]

    def classify(self, embeddings: torch.Tensor) -> torch.Tensor:
        return embeddings


def tone(hz: float, seconds: float) -> np.ndarray:
    """A sine."""
    return np.float32(0.1) * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ, dtype=np.float32)


def test_words_are_tried_about_the_span_or_where_the_source_is_most_like_the_example() -> None:
    sound = np.concatenate([tone(3000, 15), tone(300, 10), tone(3000, 15)])
    source = replace(open_source(Audio(sound[None], RATE_HZ)), declared_samples=len(sound))
    low = torch.tensor([[1.0, 0.0, 0.0]])
    like = section_tried(Query("it", vector=torch.zeros(1)), low, source, Tower(), RATE_HZ)
    np.testing.assert_array_equal(like, sound[15 * RATE_HZ : 25 * RATE_HZ])
    for span, begin in (((20.0, 22.0), 16.0), ((1.0, 2.0), 0.0), ((39.0, 40.0), 30.0)):
        query = Query("it", span=(span[0] + 5, span[1] + 5))  # the source begins at five seconds of the file
        found = section_tried(query, low, source, Tower(), RATE_HZ, start_seconds=5.0)
        np.testing.assert_array_equal(found, sound[round(begin * RATE_HZ) : round((begin + 10) * RATE_HZ)])
    short = replace(open_source(Audio(sound[None, :RATE_HZ], RATE_HZ)), declared_samples=RATE_HZ)
    assert len(section_tried(query, low, short, Tower(), RATE_HZ, start_seconds=39.0)) == RATE_HZ
    assert len(section_tried(Query("it", vector=torch.zeros(1)), low, short, Tower(), RATE_HZ)) == RATE_HZ


class Words(LinearText):
    """Every second word lies at the low class, the others at the high one."""

    sounds = Tower()

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        at = [max((len(word), n) for n, word in enumerate(sound_words()) if word in text)[1] for text in texts]
        return torch.eye(3)[torch.tensor(at) % 2]


def hear(sound: np.ndarray, vectors: torch.Tensor) -> MaskSegment:
    """A vector takes its class's half of the grid; both take all of an example of a second."""
    frames = 1 + len(sound) // SignalSettings().hop_samples
    masks = torch.ones(len(vectors), 256, frames)
    if len(sound) > RATE_HZ:
        masks[:, :128], masks[:, 128:] = vectors[:, :1, None], vectors[:, 1:2, None]
    return MaskSegment(masks, None, None, torch.ones(256, frames), True)


def test_the_word_whose_stem_is_like_the_example_wins() -> None:
    signal, mixture = SignalSettings(), tone(100, 2) + tone(5000, 2)
    vector = vector_tried(candidates(tone(100, 1), Words(), Tower(), hear, signal), mixture, Tower(), hear, signal)
    assert vector[0] > 0.99


def test_of_an_example_that_is_cut_off_there_is_what_is_left(tmp_path: Path) -> None:
    path, source = _written(tmp_path, noise(4.0)), open_source(noise(1.0))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    query, examples = Query("like", sound=path), Examples(Words(), hear, SignalSettings())
    for read in (lambda: example_of(query, source, RATE_HZ), lambda: examples.vector(query, source)):
        with pytest.raises(MediaError, match=r"a.wav: .* cannot be decoded, .*or give --allow-truncated"):
            read()
    left = example_of(query, source, RATE_HZ, allow_truncated=True)
    assert 1.9 * RATE_HZ < len(left) <= 2 * RATE_HZ
    assert examples.vector(query, source, allow_truncated=True).isfinite().all()


def test_an_example_is_heard_alone_once_for_many_sources(tmp_path: Path) -> None:
    lengths: list[int] = []

    def counted(sound: np.ndarray, vectors: torch.Tensor) -> MaskSegment:
        lengths.append(len(sound))
        return hear(sound, vectors)

    example, second = (
        _written(tmp_path / name, Audio(tone(hz, 1)[None], RATE_HZ)) for name, hz in (("a", 100), ("b", 5000))
    )
    sources = [
        open_source(Audio((tone(100, 2 + number) + tone(5000, 2 + number))[None], RATE_HZ)) for number in range(3)
    ]
    examples = Examples(Words(), counted, SignalSettings())
    vectors = [examples.vector(Query("like", sound=example), source) for source in sources]
    assert lengths == [RATE_HZ, *(RATE_HZ * seconds for seconds in (2, 3, 4))]
    fresh = Examples(Words(), hear, SignalSettings())
    torch.testing.assert_close(vectors[2], fresh.vector(Query("like", sound=example), sources[2]), rtol=0, atol=0)
    # Another sound, also under the same name, is another example.
    example.write_bytes(second.read_bytes())
    assert examples.vector(Query("like", sound=example), sources[0])[1] > 0.99 > vectors[0][1]
    assert lengths[-2:] == [RATE_HZ, 2 * RATE_HZ]


class RealTower(SoundClasses):
    """The audio tower that is shipped, its classes in the space of `Words`."""

    embeddings = torch.eye(3).repeat(200, 1)[: len(SoundClasses().names)]


@pytest.mark.parametrize("file_hz", [8000, 11025, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize("model_hz", [11025, 16000, 48000])
def test_a_sound_of_a_few_samples_is_heard_or_too_short(tmp_path: Path, file_hz: int, model_hz: int) -> None:
    encoder = Words()
    encoder.sounds = RealTower()  # type: ignore[assignment]
    examples = Examples(encoder, hear, replace(SignalSettings(), sample_rate_hz=model_hz))
    short = open_source(Audio(np.full((1, 1), 0.5, np.float32), file_hz))
    mixture = open_source(Audio(tone(100, 1)[None], RATE_HZ))
    for num_samples in (1, 2, 3, 50):
        samples = np.random.default_rng(num_samples).normal(0, 0.2, (1, num_samples)).astype(np.float32)
        query = Query("like", sound=_written(tmp_path, Audio(samples, file_hz)))
        for source in (mixture, short):
            if num_samples * model_hz / file_hz < 0.5:
                with pytest.raises(
                    QueryError, match=f"shorter than a sample at the {model_hz} Hz that the model hears"
                ):
                    examples.vector(query, source)
            else:
                vector = examples.vector(query, source)
                assert vector.shape == (3,) and vector.isfinite().all() and vector.norm() > 0


def test_a_span_of_less_than_a_sample_is_too_short_and_not_outside(tmp_path: Path) -> None:
    file = open_source(_written(tmp_path, noise(4.0)))
    with pytest.raises(QueryError, match="'3-3 s': is shorter than a sample at the 16000 Hz that the model hears"):
        example_of(Query("3-3 s", span=(3.0, 3.00001)), file, RATE_HZ)
