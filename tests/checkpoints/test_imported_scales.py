"""Imported networks, asked with words and pictures at the scale of a real CLIP: norms of about 10 and of 28."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from published_clipsep import PublishedCLIPSep, PublishedMiddle, original_warp
from safetensors.torch import save_file
from tiny_clip import save_vocabulary, tiny_state
from torch import Tensor, nn

from trisep.checkpoints import PublishedKind
from trisep.checkpoints.published import import_checkpoint
from trisep.encoders.clip import CLIPEncoder
from trisep.evaluation.mixtures import infer_masks
from trisep.evaluation.queries import embed_sources
from trisep.media.audio_writer import write_audio
from trisep.protocols import ProtocolSource, protocol
from trisep.separation.options import SeparationOptions
from trisep.separation.separator import load
from trisep.types import Audio, Query

TEXT_NORM, PICTURE_NORM = 10.0, 28.0
CAT = [
    "a photo of cat",
    "a photo of the small cat",
    "a low resolution photo of a cat",
    "a photo of many cat",
]
"""What CLIPSep's Table 4 makes of a label, written out."""


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> CLIPEncoder:
    """A random CLIP whose projections are scaled until "a photo of cat" and a picture have those norms."""
    folder = tmp_path_factory.mktemp("clip")
    state = tiny_state("vit")
    save_vocabulary(folder, "openai")
    save_file(state, folder / "model.safetensors")
    small = CLIPEncoder(folder / "model.safetensors", name="clip-vit-b32")
    state["text_projection"] *= TEXT_NORM / small.encode_text(CAT[:1]).norm()
    state["visual.proj"] *= PICTURE_NORM / small.encode_image([picture()]).norm()
    save_file(state, folder / "model.safetensors")
    return CLIPEncoder(folder / "model.safetensors", name="clip-vit-b32")


def trained(network: nn.Module) -> nn.Module:
    """The network in evaluation mode, with statistics of spectrograms."""
    for name, value in network.state_dict().items():
        if name.endswith("bn0.running_mean"):
            value.fill_(-5.0)
        elif name.endswith("bn0.running_var"):
            value.fill_(9.0)
    return network.eval()


def late_mask(network: PublishedCLIPSep, heard: Tensor, vector: Tensor) -> Tensor:
    """The mask of the published late fusion, with noise heads dropped."""
    return network(heard, network.frame_net(vector[None]).sigmoid()).sigmoid()


def middle_mask(network: PublishedMiddle, heard: Tensor, vector: Tensor) -> Tensor:
    """The mask of the published middle fusion."""
    return network(heard, vector[None]).sigmoid()


KINDS: dict[PublishedKind, tuple[Callable[[], nn.Module], Callable[..., Tensor]]] = {
    "clipsep": (lambda: PublishedCLIPSep(embedding_dim=24), late_mask),
    "clipsep-nit": (lambda: PublishedCLIPSep(embedding_dim=24, num_noise_heads=2), late_mask),
    "clipsep-middle": (lambda: PublishedMiddle(embedding_dim=24), middle_mask),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_words_and_pictures_at_real_scales_give_the_masks_of_the_original_chain(
    kind: PublishedKind, clip: CLIPEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, mask_of = KINDS[kind]
    torch.manual_seed(1)
    original = trained(build())
    torch.save(original.state_dict(), tmp_path / "best.pt")
    import_checkpoint(tmp_path / "best.pt", kind, tmp_path / "model", encoder=clip)
    sound = np.random.default_rng(1).normal(0, 1, 65535).astype(np.float32)
    sound *= np.float32(0.01) / sound.std()  # −40 dBFS: published networks hear sounds as they were recorded

    settings = {"window": torch.hann_window(1024), "pad_mode": "constant", "return_complex": True}
    spectrum = torch.stft(torch.from_numpy(sound)[None], 1024, 256, **settings)
    heard = torch.log(original_warp(spectrum.abs()[:, None]) + 1e-10)[:, None]
    text = torch.stack([clip.encode_text([words])[0] for words in CAT])
    norms = text.norm(dim=-1)
    assert norms.max() > 1.01 * norms.min() and norms.mean() == pytest.approx(TEXT_NORM, rel=0.2)
    looked = clip.encode_image([picture()])[0]
    assert float(looked.norm()) == pytest.approx(PICTURE_NORM, rel=1e-4)
    with torch.inference_mode():
        expected = torch.cat([mask_of(original, heard, vector) for vector in (text.sum(dim=0) / 4, looked)])
        short = mask_of(original, heard, text.mean(dim=0) / text.mean(dim=0).norm())
    assert (short - expected[0]).abs().max() > 0.001  # a unit vector would show

    separator = load(tmp_path / "model", device="cpu", encoder=clip)
    queries = [Query("cat", text="cat"), Query("picture", image=picture())]
    separated = separator.separate(Audio(sound[None], 16000), queries, SeparationOptions(exclusive=False))
    np.testing.assert_allclose(separated.masks, expected.numpy(), rtol=0, atol=1e-4)

    monkeypatch.setattr("trisep.evaluation.queries.load_encoder", lambda name: clip)
    write_audio(tmp_path / "cat.wav", Audio(sound[None], 16000), subtype="wav_float32")
    source = ProtocolSource(path=tmp_path / "cat.wav", label="cat")
    query = embed_sources(separator.checkpoint, [source], "text", protocol("clipsep-music"))
    evaluated = infer_masks(separator.checkpoint, sound, query).masks
    np.testing.assert_allclose(evaluated.numpy(), expected[:1].numpy(), rtol=0, atol=1e-4)
