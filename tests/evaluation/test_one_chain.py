"""`separate` and `evaluate` make the same masks of the same mixture: they call one inference chain."""

from pathlib import Path

import numpy as np
import pytest

from trisep.checkpoints.registry import available_models
from trisep.encoders import QUERY_TEMPLATES
from trisep.evaluation.mixtures import infer_masks
from trisep.evaluation.queries import embed_sources
from trisep.evaluation.sounds import mix
from trisep.media.audio_writer import write_audio
from trisep.protocols import ProtocolSource, protocol
from trisep.separation.options import SeparationOptions
from trisep.separation.separator import Separator, load
from trisep.types import Audio


@pytest.fixture(scope="module", params=sorted(available_models()))
def separator(request: pytest.FixtureRequest) -> Separator:
    return load(request.param, device="cpu")


def recording(
    seed: int, seconds: float, rate_hz: int, *, offset: float = 0.0, silent_end: float = 0.0, rumble: float = 0.0
) -> Audio:
    """A few drawn tones in noise."""
    generator = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    tones = sum(np.sin(2 * np.pi * hz * times) for hz in generator.uniform(100, 3000, 3))
    sound = 0.05 * (tones + generator.standard_normal(len(times)))
    sound += rumble * np.sin(2 * np.pi * 8 * times)
    sound[len(sound) - round(silent_end * rate_hz) :] = 0
    return Audio((sound + offset).astype(np.float32)[None], rate_hz)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"offset": 0.1}),
        ({}, {"rumble": 0.3}),
        ({"seconds": 2.713}, {"seconds": 3.0}),
        ({"silent_end": 1.0}, {"silent_end": 1.0}),
        ({"rate_hz": 8000}, {"rate_hz": 44100}),
        ({"seconds": 0.06}, {"seconds": 0.05}),
    ],
    ids=["offset", "rumble", "odd length", "silent end", "other rates", "one frame"],
)
def test_separate_and_evaluate_give_the_same_masks(
    separator: Separator, tmp_path: Path, first: dict[str, float], second: dict[str, float]
) -> None:
    sources = []
    for number, (label, settings) in enumerate((("dog", first), ("trumpet", second))):
        audio = recording(number, **{"seconds": 2.5, "rate_hz": 16000, **settings})  # type: ignore[arg-type]
        write_audio(tmp_path / f"{label}.wav", audio, subtype="wav_float32")
        sources.append(ProtocolSource(path=tmp_path / f"{label}.wav", label=label))
    mixture = mix(sources, None, 16000).sum(axis=0)
    templates = protocol("clipsep-music")
    assert templates.templates == QUERY_TEMPLATES
    query = embed_sources(separator.checkpoint, sources, "text", templates)
    by_evaluate = infer_masks(separator.checkpoint, mixture, query).masks
    options = SeparationOptions(exclusive=False)
    by_separate = separator.separate(Audio(mixture[None], 16000), ["dog", "trumpet"], options).masks
    np.testing.assert_allclose(by_evaluate.numpy(), by_separate, atol=1e-6)
    assert np.ptp(by_separate) > 0.1
