"""One mixture of a protocol: its rows by model and baselines, what is in it, and what is no source."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_folders import tone
from evaluated import CLIPSEP, UNET, checkpoint

from trisep.errors import ConfigError, MediaError
from trisep.evaluation.mixtures import (
    ScoringJob,
    baseline_systems,
    infer_masks,
    score_mixture,
    separate_mixture,
    summing_to,
    system_names,
    with_noise_heads,
)
from trisep.media.audio_writer import write_audio
from trisep.models import clipsep_nit, pit, resunet_decouple, wave_u_net
from trisep.protocols import ProtocolMixture, ProtocolSource, protocol
from trisep.types import QueryEmbedding, SignalSettings

RATE_HZ = 16000


@pytest.fixture(autouse=True)
def _with_encoder(encoder: object) -> None:
    """No test here loads a real one."""


def job(
    folder: Path, *, model: object = None, query: str = "text", baselines: tuple[str, ...] = (), **others: object
) -> ScoringJob:
    settings = {
        "protocol": protocol("avmini"),
        "folder": folder,
        "checkpoint": None,
        "query": query,
        "systems": system_names(model, query, baselines),
        "baselines": baselines,
        "signal": SignalSettings(),
        "binary_masks": False,
        "seed": 0,
        "device": "cpu",
        "precision": "fp32",
        "skip_missing": False,
    }
    return ScoringJob(**(settings | others))  # type: ignore[arg-type]


def test_the_rows_of_a_mixture_by_model_and_baselines(sources: tuple[ProtocolSource, ...], tmp_path: Path) -> None:
    model = checkpoint(CLIPSEP)
    mixture = ProtocolMixture(index=7, sources=sources)
    rows = score_mixture(
        job(tmp_path, model=model.model, query="image", baselines=("ideal-ratio-mask", "rpca")), mixture, model
    )
    systems = ("model, image query", "model, both image queries together", "ideal-ratio-mask", "rpca (oracle order)")
    assert [(row.mixture, row.source, row.system) for row in rows] == [
        (7, source, system) for system in systems for source in (0, 1)
    ]
    assert (rows[0].label, rows[0].other_label, rows[0].path, rows[0].other_path) == (
        "dog",
        "rain",
        "one.mp4",
        "two.mp4",
    )
    ours, ideal = rows[0].scores, rows[4].scores
    assert ours is not None and ideal is not None and ideal.si_sdri > ours.si_sdri + 5
    assert rows[0].level_db == pytest.approx(-20.0, abs=0.05)


def test_only_the_target_is_scored_where_the_protocol_says_so(
    sources: tuple[ProtocolSource, ...], tmp_path: Path
) -> None:
    rules = replace(protocol("clipsep-music"), signal=SignalSettings(clip_samples=RATE_HZ // 2))
    target_only = job(tmp_path, baselines=("mixture", "ideal-binary-mask"), protocol=rules, signal=rules.signal)
    rows = score_mixture(target_only, ProtocolMixture(index=0, sources=sources), None)
    assert [(row.source, row.label) for row in rows] == [(0, "dog")] * 2
    assert rows[0].scores is not None and rows[0].scores.sdri == 0


def test_interference_is_in_the_mixture_at_its_level_and_is_no_source(
    sources: tuple[ProtocolSource, ...], tmp_path: Path
) -> None:
    write_audio(tmp_path / "noise.wav", tone(0.3, frequency_hz=3000), subtype="wav_float32")
    rules = replace(protocol("avmini-offscreen"), interference_db=0.0)
    noisy = ProtocolMixture(index=0, sources=sources, interference=tmp_path / "noise.wav")
    rows = score_mixture(job(tmp_path, baselines=("mixture",), protocol=rules), noisy, None)
    assert rows[0].interference == "noise.wav" and rows[0].mixture_level_db == pytest.approx(
        -20 + 10 * np.log10(3), abs=0.1
    )
    assert rows[0].scores is not None and rows[0].scores.snr == pytest.approx(-10 * np.log10(2), abs=0.1)


def test_the_level_of_a_mixture_does_not_matter_to_the_model() -> None:
    model = checkpoint(CLIPSEP)
    query = QueryEmbedding(vectors=torch.randn(1, 2, 3, generator=torch.Generator().manual_seed(0)))
    mixture = (0.1 * np.random.default_rng(0).standard_normal(8000)).astype(np.float32)
    alone, together = separate_mixture(model, mixture, query)
    assert alone.shape == together.shape == (2, 8000)
    assert np.abs(alone).max() > 0.01 and not np.allclose(alone, together)
    np.testing.assert_allclose(separate_mixture(model, mixture / 100, query)[0] * 100, alone, atol=1e-5)
    binary, _ = separate_mixture(model, mixture, query, binary_masks=True)
    assert not np.allclose(binary, alone, atol=1e-3)


def test_kept_noise_heads_are_given_to_the_queries_by_an_oracle_that_the_name_admits() -> None:
    model = checkpoint(clipsep_nit.Config(embedding_dim=3, unet=UNET))
    generator = np.random.default_rng(0)
    sources = (0.1 * generator.standard_normal((2, 8000))).astype(np.float32)
    query = QueryEmbedding(vectors=torch.randn(1, 2, 3, generator=torch.Generator().manual_seed(0)))
    mixture = sources.sum(axis=0)
    kept = with_noise_heads(model.signal, mixture, infer_masks(model, mixture, query), sources)
    errors = np.square(kept - sources).sum()
    heads = model.model.noise_projections
    alone, _ = separate_mixture(model, mixture, query)
    assert not np.allclose(kept, alone, atol=1e-4) and not model.model.keep_noise_heads
    heads[0], heads[1] = heads[1], heads[0]
    swapped = with_noise_heads(model.signal, mixture, infer_masks(model, mixture, query), sources)
    np.testing.assert_allclose(np.square(swapped - sources).sum(), errors, rtol=1e-6)
    assert system_names(model.model, "text", ()) == (
        "model, text query",
        "model, both text queries together",
        "model, text query, noise heads kept (oracle order)",
    )


@pytest.mark.parametrize("config", [pit.Config(unet=UNET), wave_u_net.Config.tiny(), resunet_decouple.Config.tiny()])
def test_interchangeable_estimates_are_ordered_by_an_oracle_that_the_name_admits(
    config: object, sources: tuple[ProtocolSource, ...], tmp_path: Path
) -> None:
    model = checkpoint(config)
    rows = {}
    for order in (sources, sources[::-1]):
        mixture = ProtocolMixture(index=0, sources=order)
        for row in score_mixture(job(tmp_path, model=model.model), mixture, model):
            assert row.system == "model (oracle order)" and row.scores is not None
            rows.setdefault(row.path, []).append(row.scores.si_sdr)
    assert all(first == pytest.approx(second, abs=1e-3) for first, second in rows.values())


def test_a_model_of_samples_that_answers_queries_is_scored_in_their_order(
    sources: tuple[ProtocolSource, ...], tmp_path: Path
) -> None:
    model = checkpoint(replace(wave_u_net.Config.tiny(), embedding_dim=3))
    rows = score_mixture(job(tmp_path, model=model.model), ProtocolMixture(index=0, sources=sources), model)
    names = ["model, text query", "model, both text queries together"]
    assert [row.system for row in rows] == [name for name in names for _ in range(2)]
    estimates = np.array([[1.0, 2.0], [0.0, 1.0]], np.float32)
    shared = summing_to(np.array([3.0, 3.0], np.float32), estimates)
    np.testing.assert_allclose(shared, [[2, 2], [1, 1]])


def test_a_clip_that_is_not_there_is_an_error_or_a_row_that_says_so(
    sources: tuple[ProtocolSource, ...], tmp_path: Path
) -> None:
    mixture = ProtocolMixture(index=0, sources=(sources[0], replace(sources[1], path=tmp_path / "gone.mp4")))
    with pytest.raises(MediaError, match="gone.mp4: no such file"):
        score_mixture(job(tmp_path, baselines=("mixture",)), mixture, None)
    rows = score_mixture(job(tmp_path, baselines=("mixture",), skip_missing=True), mixture, None)
    assert [(row.skipped, row.scores) for row in rows] == [("missing clip: gone.mp4", None)] * 2


def test_the_systems_there_are() -> None:
    assert baseline_systems() == ("mixture", "nmf-mfcc", "random-mask", "rpca", "ideal-binary-mask", "ideal-ratio-mask")
    with pytest.raises(ConfigError, match="unknown baseline 'ideal-mask'"):
        system_names(None, "text", ("ideal-mask",))
