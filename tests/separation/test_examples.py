"""A sound as a query: what is listened to, and which words are heard in it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from trisep.errors import MediaError, QueryError
from trisep.media.audio import write_audio
from trisep.separation.examples import example_of, mean_of_most_heard, parts_taken, sound_words
from trisep.separation.source import mono_section, open_source
from trisep.types import Audio, Query

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


def _written(folder: Path, sound: Audio) -> Path:
    write_audio(folder / "a.wav", sound, subtype="wav_float32")
    return folder / "a.wav"


def test_a_span_counts_from_the_begin_of_the_file_and_an_example_has_eight_seconds(tmp_path: Path) -> None:
    sound = noise(12.0)
    section = open_source(sound, start_seconds=2.0)
    heard = example_of(Query("span", span=(3.0, 4.0)), section, RATE_HZ, start_seconds=2.0)
    np.testing.assert_array_equal(heard, sound.samples[0, 48000:64000])
    example = example_of(Query("like", sound=_written(tmp_path, sound)), section, RATE_HZ, start_seconds=2.0)
    np.testing.assert_array_equal(example, sound.samples[0, : 8 * RATE_HZ])
    silence = Audio(np.zeros((1, 8000), np.float32), RATE_HZ)
    for query in (Query("late", span=(30.0, 31.0)), Query("early", span=(0.5, 1.0)), Query("like", sound=silence)):
        with pytest.raises(QueryError, match="holds no sound or only silence"):
            example_of(query, section, RATE_HZ, start_seconds=2.0)


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
