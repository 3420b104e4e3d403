"""Published state dicts become checkpoints that compute the same: the reference cases do, and small networks of the
same build.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from published_clipsep import CASES, PublishedCLIPSep, PublishedMiddle, original_warp, published_state
from published_sound_of_pixels import PublishedSoundOfPixels
from safetensors.torch import load_file, save_file

from trisep import cli
from trisep.checkpoints import PublishedKind
from trisep.checkpoints.format import load_model
from trisep.checkpoints.published import MODEL_NAMES, import_checkpoint, published_network
from trisep.errors import CheckpointError
from trisep.losses.masks import magnitude_weight, weighted_bce
from trisep.losses.noise_invariant import NoiseInvariantLoss
from trisep.models import model_names
from trisep.separation.separator import load
from trisep.spectrogram.log_frequency import to_linear_frequency, to_log_frequency
from trisep.spectrogram.masks import binary_mask
from trisep.spectrogram.stft import istft, stft
from trisep.types import Audio, QueryEmbedding, SignalSettings


@dataclasses.dataclass(frozen=True)
class FakeEncoder:
    """An encoder that turns words into numbers."""

    dim: int
    name: str = "clip-vit-b32"
    fingerprint: str = "f00d"

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.stack(
            [torch.randn(self.dim, generator=torch.Generator().manual_seed(len(text))) for text in texts]
        )

    def encode_image(self, frames: object) -> torch.Tensor:
        raise AssertionError("nothing here asks for it")

    encode_regions = encode_tokens = token_word = encode_image
    token_table = torch.empty(0, 0)


def published(num_noise_heads: int = 0) -> PublishedCLIPSep:
    torch.manual_seed(0)
    network: PublishedCLIPSep = with_statistics(PublishedCLIPSep(num_noise_heads=num_noise_heads))
    return network


def with_statistics(network: Any) -> Any:
    """In evaluation mode, as if it had been trained."""
    for name, value in network.state_dict().items():
        if name.endswith("running_mean"):
            value.uniform_(-0.5, 0.5)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 2)
    return network.eval()


def spectrogram() -> torch.Tensor:
    return torch.randn(2, 1, 256, 8, generator=torch.Generator().manual_seed(0)) * 3 - 5


def vectors(num_queries: int = 2) -> torch.Tensor:
    return torch.randn(2, num_queries, 6, generator=torch.Generator().manual_seed(1))


def test_every_kind_becomes_a_model_there_is() -> None:
    assert set(MODEL_NAMES) == set(get_args(PublishedKind))
    assert set(MODEL_NAMES.values()) <= set(model_names())


@pytest.mark.parametrize("kind", list(CASES))
def test_an_imported_network_agrees_with_the_original(kind: PublishedKind, tmp_path: Path) -> None:
    if not CASES[kind].is_file():
        pytest.skip("the reference cases are not beside this checkout")
    case = load_file(CASES[kind])
    save_file(published_state(case), tmp_path / "published.safetensors")
    import_checkpoint(tmp_path / "published.safetensors", kind, tmp_path / "model", encoder=FakeEncoder(512))
    network = load_model(tmp_path / "model").model
    if kind == "clipsep-nit":
        network.keep_noise_heads = True
    # The network is fed with the original's own warp: ours differs by its rounding (see tests/models/test_clipsep.py).
    heard = original_warp(case["magnitude"])
    query = QueryEmbedding(vectors=torch.stack([case["embedding_0"], case["embedding_1"]], dim=1))
    with torch.inference_mode():
        output = network(torch.log(heard + 1e-10).unsqueeze(1), query)
    expected = torch.cat([case["pred_masks_0"], case["pred_masks_1"]], dim=1)
    sources = torch.stack([original_warp(case[f"mags_{index}"]) for index in range(2)], dim=1)
    target, weight = binary_mask(sources, heard), magnitude_weight(heard)
    if kind == "clipsep-nit":
        noise = torch.cat([case["pit_masks_0"], case["pit_masks_1"]], dim=1)
        assert (output.masks - expected.sigmoid()).abs().max() <= 1e-4
        assert (output.noise_masks - noise.sigmoid()).abs().max() <= 1e-4
        loss = NoiseInvariantLoss().terms(output.masks, output.noise_masks, target, weight).total
    else:
        assert (output.masks - expected).abs().max() <= 1e-4
        loss = weighted_bce(output.logits, target, weight)
    assert float(loss) == pytest.approx(float(case["loss"]), abs=1e-4)


def test_an_imported_clipsep_computes_what_the_published_network_does(tmp_path: Path) -> None:
    original = published()
    torch.save(original.state_dict(), tmp_path / "best.pt")
    import_checkpoint(tmp_path / "best.pt", "clipsep", tmp_path / "model", encoder=FakeEncoder(6))
    checkpoint = load_model(tmp_path / "model")
    assert (checkpoint.model_name, checkpoint.encoder, checkpoint.encoder_fingerprint) == (
        "clipsep",
        "clip-vit-b32",
        "f00d",
    )
    assert checkpoint.signal == SignalSettings(mixture_level_db=None)
    sha256 = hashlib.sha256((tmp_path / "best.pt").read_bytes()).hexdigest()
    assert checkpoint.card["imported"] == {"kind": "clipsep", "sha256": {"best.pt": sha256}}
    # The same file once more takes its place; nothing else does.
    import_checkpoint(tmp_path / "best.pt", "clipsep", tmp_path / "model", encoder=FakeEncoder(6))
    torch.save(original.state_dict() | {"more": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(
        CheckpointError, match=r"model: holds another checkpoint, which is no import of this file; choose"
    ):
        import_checkpoint(tmp_path / "other.pt", "clipsep", tmp_path / "model", encoder=FakeEncoder(6))
    card = tmp_path / "model" / "config.json"
    card.write_text(json.dumps({key: value for key, value in checkpoint.card.items() if key != "imported"}))
    with pytest.raises(CheckpointError, match="holds another checkpoint"):
        import_checkpoint(tmp_path / "best.pt", "clipsep", tmp_path / "model", encoder=FakeEncoder(6))
    assert checkpoint.model.config.unet.widths == (2, 4, 5)
    logits = checkpoint.model(spectrogram(), QueryEmbedding(vectors=vectors())).logits
    for query in range(2):
        expected = original(spectrogram(), original.frame_net(vectors()[:, query]).sigmoid())
        torch.testing.assert_close(logits[:, query], expected, rtol=1e-4, atol=1e-5)


def test_imported_noise_heads_read_the_mean_of_the_projections() -> None:
    original = published(num_noise_heads=3)
    state = {f"module.{key}": value.half().float() for key, value in original.state_dict().items()}
    original.load_state_dict({key.removeprefix("module."): value for key, value in state.items()})
    network: Any = published_network(state, "clipsep-nit")
    assert (network.config.num_noise_heads, network.config.noise_query) == (3, "mean_of_projections")
    network.keep_noise_heads = True
    noise_masks = network(spectrogram(), QueryEmbedding(vectors=vectors())).noise_masks
    mean = original.frame_net(vectors()).mean(dim=1)
    for index, head in enumerate(original.pit_nets):
        torch.testing.assert_close(
            noise_masks[:, index], original(spectrogram(), head(mean).sigmoid()).sigmoid(), rtol=1e-4, atol=1e-5
        )


def test_an_imported_middle_fusion_computes_what_the_published_network_does() -> None:
    torch.manual_seed(0)
    original = with_statistics(PublishedMiddle())
    network = published_network(original.state_dict(), "clipsep-middle")
    logits = network(spectrogram(), QueryEmbedding(vectors=vectors())).logits
    assert (logits[:, 0] - logits[:, 1]).abs().max() > 1e-4
    for query in range(2):
        torch.testing.assert_close(logits[:, query], original(spectrogram(), vectors()[:, query]), rtol=1e-4, atol=1e-5)


def test_an_imported_checkpoint_separates(tmp_path: Path) -> None:
    torch.save({"state_dict": published(num_noise_heads=2).state_dict(), "epoch": 3}, tmp_path / "best.pt")
    encoder: Any = FakeEncoder(6)
    import_checkpoint(tmp_path / "best.pt", "clipsep-nit", tmp_path / "model", encoder=encoder)
    separator = load(tmp_path / "model", device="cpu", encoder=encoder)
    waveform = np.random.default_rng(0).normal(0, 0.1, (1, 16000)).astype(np.float32)
    separation = separator.separate(Audio(waveform, 16000), ["violin", "rain"])
    stems = [stem.audio.samples for stem in separation.stems.values()]
    np.testing.assert_allclose(sum(stems) + separation.residual.samples, waveform, atol=1e-5)
    assert all(np.abs(stem).max() > 1e-3 for stem in stems)


def sound_of_pixels(folder: Path) -> PublishedSoundOfPixels:
    """Small networks as the published code builds them, saved as it saves them: one file each."""
    torch.manual_seed(0)
    original: PublishedSoundOfPixels = with_statistics(PublishedSoundOfPixels())
    for name, network in zip(("sound", "frame", "synthesizer"), original.children(), strict=True):
        torch.save(network.state_dict(), folder / f"{name}_best.pth")
    return original


def frames() -> torch.Tensor:
    return torch.randint(0, 256, (2, 2, 3, 3, 32, 48), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)


def test_an_imported_sound_of_pixels_computes_what_the_published_network_does(tmp_path: Path) -> None:
    original = sound_of_pixels(tmp_path)
    import_checkpoint(tmp_path, "sound-of-pixels", tmp_path / "model", encoder=None)
    checkpoint = load_model(tmp_path / "model")
    assert (checkpoint.model_name, checkpoint.encoder, checkpoint.encoder_fingerprint) == (
        "sound_of_pixels",
        "none",
        "",
    )
    assert set(checkpoint.card["imported"]["sha256"]) == {"sound_best.pth", "frame_best.pth", "synthesizer_best.pth"}
    assert (
        checkpoint.model.config.unet.widths == (4, 8, 16, 32, 32, 32, 32) and checkpoint.model.config.image_width == 4
    )
    heard = torch.randn(2, 1, 256, 128, generator=torch.Generator().manual_seed(0)) * 3 - 5
    with torch.inference_mode():
        masks = checkpoint.model(heard, QueryEmbedding(frames=frames())).masks
        expected = torch.stack([original(heard, frames()[:, query]) for query in range(2)], dim=1)
    assert expected.std() > 0.05 and (expected[:, 0] - expected[:, 1]).abs().max() > 1e-3
    torch.testing.assert_close(masks, expected, rtol=0, atol=1e-5)


def test_an_imported_sound_of_pixels_separates_with_the_papers_signal_chain(tmp_path: Path) -> None:
    sound_of_pixels(tmp_path)
    assert cli.main(["import", str(tmp_path), "--as", "sound-of-pixels", "--out", str(tmp_path / "model")]) == 0
    checkpoint = load_model(tmp_path / "model")
    assert checkpoint.signal == SignalSettings(
        sample_rate_hz=11025, window_samples=1022, hop_samples=256, mixture_level_db=None
    )
    waveform = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (1, 255 * 256)).astype(np.float32))
    spectrum = stft(waveform, checkpoint.signal)
    heard = torch.log(to_log_frequency(spectrum.abs()) + 1e-10)
    masks = checkpoint.model(heard.unsqueeze(1), QueryEmbedding(frames=frames()[:1])).masks
    stems = istft(
        spectrum.unsqueeze(1) * to_linear_frequency(masks, checkpoint.signal.num_bins),
        checkpoint.signal,
        waveform.shape[1],
    )
    assert stems.shape == (1, 2, waveform.shape[1]) and checkpoint.signal.num_bins == 512
    assert (stems.abs().amax(dim=-1) > 1e-3).all() and not torch.allclose(stems[:, 0], stems[:, 1])


@pytest.mark.parametrize(
    "prefixes", [("net_sound", "net_frame", "net_synthesizer"), ("sound_net", "frame_net", "synth_net")]
)
def test_sound_of_pixels_saved_as_one_file_is_the_same(prefixes: tuple[str, ...], tmp_path: Path) -> None:
    original = sound_of_pixels(tmp_path)
    parts = zip(prefixes, original.children(), strict=True)
    whole = {f"module.{prefix}.{key}": value for prefix, part in parts for key, value in part.state_dict().items()}
    import_checkpoint(tmp_path, "sound-of-pixels", tmp_path / "model", encoder=None)
    expected = load_model(tmp_path / "model").model.state_dict()
    state = published_network(whole, "sound-of-pixels").state_dict()
    assert [key for key in expected if not torch.equal(state[key], expected[key])] == []


def test_parts_of_sound_of_pixels_are_refused_with_the_remedy(tmp_path: Path) -> None:
    original = sound_of_pixels(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"sound_best\.pth: .*not hold all three networks; give the folder with sound_best"
    ):
        import_checkpoint(tmp_path / "sound_best.pth", "sound-of-pixels", tmp_path / "model", encoder=None)
    with pytest.raises(CheckpointError, match="expected a state dict of sound-of-pixels, but it looks like clipsep;"):
        published_network(published().state_dict(), "sound-of-pixels")
    torch.save({**original.net_frame.state_dict(), "fc.bias": torch.zeros(5)}, tmp_path / "frame_best.pth")
    with pytest.raises(CheckpointError, match=r"do not make a sound-of-pixels network \(.*image_head\.bias"):
        import_checkpoint(tmp_path, "sound-of-pixels", tmp_path / "model", encoder=None)
    (tmp_path / "frame_best.pth").unlink()
    with pytest.raises(
        CheckpointError, match=r"in this folder, found no frame_best\.pth; put the published files there"
    ):
        import_checkpoint(tmp_path, "sound-of-pixels", tmp_path / "model", encoder=None)
    with pytest.raises(CheckpointError, match="is a folder; give a file of weights"):
        import_checkpoint(tmp_path, "clipsep", tmp_path / "model", encoder=FakeEncoder(6))
    assert not (tmp_path / "model").exists()


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    state, noisy = published().state_dict(), published(num_noise_heads=2).state_dict()
    with pytest.raises(
        CheckpointError, match="expected a state dict of clipsep, but it looks like clipsep-nit; give the file and --as"
    ):
        published_network(noisy, "clipsep")
    with pytest.raises(CheckpointError, match="expected a state dict of clipsep-middle, but it looks like clipsep;"):
        published_network(state, "clipsep-middle")
    with pytest.raises(CheckpointError, match="is not a published CLIPSep state dict"):
        published_network({"weight": torch.zeros(3)}, "clipsep")
    with pytest.raises(CheckpointError, match="holds 'extra.weight', which no clipsep state dict has"):
        published_network({**state, "extra.weight": torch.zeros(3)}, "clipsep")
    with pytest.raises(CheckpointError, match=r"do not make a clipsep network \(.*query_projection\.bias"):
        published_network({key: value for key, value in state.items() if key != "frame_net.bias"}, "clipsep")
    with pytest.raises(CheckpointError, match="do not make a clipsep network"):
        published_network({**state, "frame_net.weight": torch.tensor(1.0)}, "clipsep")


def test_a_file_that_would_run_code_is_refused_and_an_encoder_that_does_not_fit_too(tmp_path: Path) -> None:
    torch.save(published(), tmp_path / "whole.pt")  # a pickled module, not a state dict
    with pytest.raises(CheckpointError, match=r"whole\.pt: is not an archive of tensors.*nothing in it was run"):
        import_checkpoint(tmp_path / "whole.pt", "clipsep", tmp_path / "model", encoder=FakeEncoder(6))
    torch.save(published().state_dict(), tmp_path / "best.pt")
    with pytest.raises(CheckpointError, match="on embeddings of 6 dimensions, encoder 'clip-vit-b32' gives 512"):
        import_checkpoint(tmp_path / "best.pt", "clipsep", tmp_path / "model", encoder=FakeEncoder(512))
    assert not (tmp_path / "model").exists()


def test_the_command_line_imports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(published().state_dict(), tmp_path / "best.pt")
    monkeypatch.setattr("trisep.checkpoints.published.load_encoder", lambda name: FakeEncoder(6, name=name))
    line = ["import", str(tmp_path / "best.pt"), "--encoder", "clip-rn50", "--out"]
    assert cli.main([*line, str(tmp_path / "model"), "--as", "clipsep"]) == 0
    assert str(tmp_path / "model") in capsys.readouterr().out
    assert load_model(tmp_path / "model").encoder == "clip-rn50"
    assert cli.main([*line, str(tmp_path / "other"), "--as", "clipsep-nit"]) == 2
    assert "looks like clipsep" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["absent.pt", "notes.txt"])
def test_the_file_is_complained_about_before_the_encoder(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("not a state dict")
    line = [
        "import",
        str(tmp_path / name),
        "--as",
        "clipsep",
        "--out",
        str(tmp_path / "model"),
        "--encoder",
        "nothing of that name",
    ]
    assert cli.main(line) == 2
    assert name in capsys.readouterr().err
