from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_folders import MeanColour, tone, write_clip

import trisep.evaluation.queries
from trisep.checkpoints.format import Checkpoint
from trisep.errors import CheckpointError, ConfigError, MediaError, QueryError
from trisep.evaluation.mixtures import (
    ScoringJob,
    baseline_systems,
    infer_masks,
    score_mixture,
    separate_mixture,
    system_names,
    with_noise_heads,
)
from trisep.evaluation.queries import embed_sources
from trisep.evaluation.sounds import bounds_seconds, mix
from trisep.media.audio_writer import write_audio
from trisep.models import clipsep, clipsep_nit, labelsep, pit, sound_of_pixels
from trisep.networks.audio_unet import UNetConfig
from trisep.protocols import ProtocolMixture, ProtocolSource, protocol
from trisep.types import Place, QueryEmbedding, SignalSettings

UNET = UNetConfig(num_levels=2, base_width=2, max_width=4, out_channels=2)
RATE_HZ = 16000


class ColoursAndWords(MeanColour):
    """Also embeds words: by their length."""

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        """The number of letters, three times."""
        return torch.tensor([[float(len(text))] * 3 for text in texts])


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch) -> ColoursAndWords:
    loaded = ColoursAndWords()
    monkeypatch.setattr(trisep.evaluation.queries, "load_encoder", lambda _: loaded)
    for cached in ("_text", "_mean", "_regions", "_region"):
        getattr(trisep.evaluation.queries, cached).cache_clear()
    return loaded


@pytest.fixture
def sources(tmp_path: Path) -> tuple[ProtocolSource, ProtocolSource]:
    for number, name in enumerate(("one", "two")):
        write_clip(tmp_path / f"{name}.mp4", seconds=1.0, seed=4 * number)
    return ProtocolSource(path=tmp_path / "one.mp4", label="dog"), ProtocolSource(
        path=tmp_path / "two.mp4", label="rain"
    )


def checkpoint(config: object, card: dict[str, object] | None = None) -> Checkpoint:
    torch.manual_seed(0)
    network = config.build().eval().requires_grad_(False)  # type: ignore[attr-defined]
    return Checkpoint(
        model=network,
        model_name="net",
        signal=SignalSettings(),
        encoder="lite",
        encoder_fingerprint="",
        card=card or {},
        path=Path("ours"),
    )


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
        "skip_missing": False,
    }
    return ScoringJob(**(settings | others))  # type: ignore[arg-type]


CLIPSEP = clipsep.Config(embedding_dim=3, unet=UNET)


def test_sources_are_mixed_at_their_level_or_divided_by_their_number(sources: tuple[ProtocolSource, ...]) -> None:
    level = mix(sources, -20.0, RATE_HZ)
    assert level.dtype == np.float32
    np.testing.assert_allclose(20 * np.log10(np.sqrt(np.mean(level**2, axis=1))), -20.0, atol=0.05)
    divided = mix(sources, None, RATE_HZ)
    np.testing.assert_allclose(np.sqrt(np.mean(divided**2, axis=1)), 0.1 / np.sqrt(2) / 2, rtol=0.05)


def test_segments_lie_where_their_start_says_and_short_clips_are_filled_up(tmp_path: Path) -> None:
    ramp = replace(tone(2.0), samples=np.linspace(0, 1, 2 * RATE_HZ, dtype=np.float32)[None])
    write_audio(tmp_path / "ramp.wav", ramp, subtype="wav_float32")
    for start, begins in ((0.0, 0.0), (0.5, 0.375), (1.0, 0.75)):
        source = ProtocolSource(path=tmp_path / "ramp.wav", label="ramp", start=start)
        (segment,) = mix([source], None, RATE_HZ, clip_samples=RATE_HZ // 2)
        assert segment.shape == (RATE_HZ // 2,) and segment[0] == pytest.approx(begins, abs=1e-4)
    stretch = replace(source, start_seconds=1.0, end_seconds=1.5)
    assert bounds_seconds(stretch, 0.25) == pytest.approx((1.25, 1.5)) and bounds_seconds(stretch, None) == (1.0, 1.5)
    (filled,) = mix([stretch], None, RATE_HZ, clip_samples=RATE_HZ)
    assert (
        filled[0] == pytest.approx(0.5, abs=1e-4)
        and filled[RATE_HZ // 2 - 1] > 0.7
        and not filled[RATE_HZ // 2 + 1 :].any()
    )


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


def test_interchangeable_masks_are_ordered_by_an_oracle_that_the_name_admits(
    sources: tuple[ProtocolSource, ...], tmp_path: Path
) -> None:
    model = checkpoint(pit.Config(unet=UNET))
    rows = {}
    for order in (sources, sources[::-1]):
        mixture = ProtocolMixture(index=0, sources=order)
        for row in score_mixture(job(tmp_path, model=model.model), mixture, model):
            assert row.system == "model (oracle order)" and row.scores is not None
            rows.setdefault(row.path, []).append(row.scores.si_sdr)
    assert all(first == pytest.approx(second, abs=1e-3) for first, second in rows.values())


def test_a_clip_that_is_not_there_is_an_error_or_a_row_that_says_so(
    sources: tuple[ProtocolSource, ...], tmp_path: Path
) -> None:
    mixture = ProtocolMixture(index=0, sources=(sources[0], replace(sources[1], path=tmp_path / "gone.mp4")))
    with pytest.raises(MediaError, match="gone.mp4: no such file"):
        score_mixture(job(tmp_path, baselines=("mixture",)), mixture, None)
    rows = score_mixture(job(tmp_path, baselines=("mixture",), skip_missing=True), mixture, None)
    assert [(row.skipped, row.scores) for row in rows] == [("missing clip", None)] * 2


def test_words_go_through_the_protocols_templates(sources: tuple[ProtocolSource, ...]) -> None:
    model = checkpoint(CLIPSEP)
    vectors = embed_sources(model, sources, "text", protocol("avmini")).vectors
    assert vectors is not None and vectors[0].tolist() == [[len("a photo of dog")] * 3, [len("a photo of rain")] * 3]
    averaged = embed_sources(model, sources, "text", protocol("clipsep-music")).vectors
    assert averaged is not None and averaged.norm(dim=-1).flatten().tolist() == pytest.approx([1.0, 1.0], abs=1e-6)


def test_pictures_and_videos_are_means_of_frames_or_regions(sources: tuple[ProtocolSource, ...]) -> None:
    model = checkpoint(CLIPSEP)
    rules = replace(protocol("avmini"), frame_spacing_seconds=0.2)
    image, video = (embed_sources(model, sources, query, rules).vectors for query in ("image", "video"))
    assert (
        image is not None
        and video is not None
        and torch.equal(image, video)
        and not torch.equal(image[0, 0], image[0, 1])
    )

    watching = replace(model, model=replace(CLIPSEP, reads_regions=True).build())
    regions = embed_sources(watching, sources, "video", rules).regions
    assert regions is not None and regions.shape == (1, 2, 3, 7, 7, 3)
    torch.testing.assert_close(regions.mean(dim=(2, 3, 4)), image, atol=0.5, rtol=0)


def test_a_region_is_the_cell_at_the_place(sources: tuple[ProtocolSource, ...]) -> None:
    model = checkpoint(CLIPSEP)
    placed = [replace(source, place=Place(x=0.25, y=0.5)) for source in sources]
    vectors = embed_sources(model, placed, "region", protocol("avmini-duets")).vectors
    assert vectors is not None and vectors.shape == (1, 2, 3)
    with pytest.raises(ConfigError, match="protocol 'avmini' says of no source where it is in the picture"):
        embed_sources(model, sources, "region", protocol("avmini"))


def test_a_picture_is_asked_for_where_there_is_none(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", tone(0.5), subtype="wav_float32")
    with pytest.raises(QueryError, match="a.wav: holds no picture, which this --query needs; ask with --query text"):
        embed_sources(
            checkpoint(CLIPSEP), [ProtocolSource(path=tmp_path / "a.wav", label="dog")], "video", protocol("avmini")
        )


def test_models_that_read_labels_or_frames_get_those(sources: tuple[ProtocolSource, ...]) -> None:
    labels = labelsep.Config(num_labels=2, embedding_dim=3, unet=UNET)
    asked = embed_sources(
        checkpoint(labels, {"labels": ["rain", "dog"]}), sources, "text", protocol("avmini")
    ).label_ids
    assert asked is not None and asked.tolist() == [[1, 0]]
    with pytest.raises(
        ConfigError, match="net reads labels, so it cannot be asked with --query image; use --query text"
    ):
        embed_sources(checkpoint(labels), sources, "image", protocol("avmini"))
    with pytest.raises(CheckpointError, match="config.json: lists no labels"):
        embed_sources(checkpoint(labels), sources, "text", protocol("avmini"))
    with pytest.raises(QueryError, match="query 'dog': this model knows its 2 labels only"):
        embed_sources(checkpoint(labels, {"labels": ["rain", "cat"]}), sources, "text", protocol("avmini"))
    pixels = checkpoint(sound_of_pixels.Config(unet=UNET, image_width=2))
    frames = embed_sources(pixels, sources, "image", protocol("avmini")).frames
    assert frames is not None and frames.shape == (1, 2, 3, 3, 224, 224) and frames.dtype == torch.uint8
    with pytest.raises(ConfigError, match="reads pictures, so it cannot be asked with --query text"):
        embed_sources(pixels, sources, "text", protocol("avmini"))


def test_the_systems_there_are() -> None:
    assert baseline_systems() == ("mixture", "nmf-mfcc", "random-mask", "rpca", "ideal-binary-mask", "ideal-ratio-mask")
    with pytest.raises(ConfigError, match="unknown baseline 'ideal-mask'"):
        system_names(None, "text", ("ideal-mask",))
