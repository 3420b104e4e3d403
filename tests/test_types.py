"""The types that cross module borders: what they count, and what they refuse."""

import math

import numpy as np
import pytest
import torch

from trisep.errors import ConfigError, QueryError
from trisep.types import Audio, Mixture, Place, Query, QueryEmbedding, SignalSettings


def test_a_sound_counts_channels_samples_and_seconds() -> None:
    audio = Audio(np.zeros((2, 24000), np.float32), 16000)
    assert (audio.num_channels, audio.num_samples, audio.duration_seconds) == (2, 24000, 1.5)


@pytest.mark.parametrize(
    ("width", "height", "is_box"), [(0, 0, False), (0.1, 0, False), (0, 0.1, False), (0.1, 0.1, True)]
)
def test_a_box_is_a_place_with_an_area(width: float, height: float, is_box: bool) -> None:
    assert Place(0.5, 0.5, width, height).is_box is is_box


def test_a_query_asks_exactly_one_thing() -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    assert Query("a", text="dog 2").text == "dog 2" and Query("a", image=picture).image is picture
    for wrong in ({}, {"text": "dog", "image": picture}, {"image": picture, "place": Place(0, 0)}):
        with pytest.raises(QueryError, match="query 'a': .*exactly one"):
            Query("a", **wrong)  # type: ignore[arg-type]
    for empty in ("", "  ", "?!", "\n"):
        with pytest.raises(QueryError, match="is empty"):
            Query("a", text=empty)
    assert Query("a", text="小提琴").text and Query("a", text="?!7").text


def test_what_is_heard_is_the_sum_of_the_sources_and_of_what_is_off_screen() -> None:
    sources = torch.tensor([[[1.0, 2.0], [10.0, 20.0]]])
    query = QueryEmbedding(vectors=torch.zeros(1, 2, 3))
    assert Mixture(sources, None, query).waveform.tolist() == [[11.0, 22.0]]
    assert Mixture(sources, torch.tensor([[100.0, 200.0]]), query).waveform.tolist() == [[111.0, 222.0]]


def test_the_signal_settings_of_the_papers() -> None:
    settings = SignalSettings()
    assert (settings.num_bins, 1 + settings.clip_samples // settings.hop_samples) == (513, 256)
    SignalSettings(sample_rate_hz=1, window_samples=2, hop_samples=1, clip_samples=1, num_log_bins=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sample_rate_hz", 0),
        ("hop_samples", 0),
        ("clip_samples", 0),
        ("num_log_bins", 0),
        ("window_samples", 511),
        ("mixture_level_db", math.inf),
        ("mixture_level_db", math.nan),
        ("mixture_level_db", 201.0),
        ("window_samples", 10**9),
        ("sample_rate_hz", 768_001),
    ],
)
def test_signal_settings_out_of_range_are_named(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"^signal.{name}: expected .*, got {value}$"):
        SignalSettings(**{name: value})  # type: ignore[arg-type]
