"""The CLIP encoder against two independent implementations: the original (stored cases) and transformers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_clip import save_vocabulary, tiny_state

from trisep.encoders import SharedEncoder, load_encoder
from trisep.encoders.clip import CLIPEncoder, crop_centre, fit_stride, normalise
from trisep.encoders.clip_towers import fit_positions
from trisep.errors import CheckpointError

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"


@pytest.fixture(scope="module", params=["resnet", "vit"])
def encoder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    save_file(tiny_state(request.param), folder / "model.safetensors")
    save_vocabulary(folder, "merges")
    return CLIPEncoder(folder)


@pytest.fixture(scope="module")
def pictures():
    return list(np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8))


def stored_case(name, tmp_path):
    path = REFERENCE / f"clip_{name}_tiny.safetensors"
    if not path.is_file():
        pytest.skip(f"the reference case {path.name} is not here")
    case = load_file(path)
    weights = {key.removeprefix("state_dict."): value for key, value in case.items() if key.startswith("state_dict.")}
    save_file(weights, tmp_path / "model.safetensors")
    # The case has two heads of 32 channels in its text tower, which no tensor tells.
    (tmp_path / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": {"quick_gelu": True, "text_cfg": {"heads": 2}}})
    )
    return case, CLIPEncoder(tmp_path)


@pytest.mark.parametrize("name", ["resnet", "vit"])
def test_equals_the_original(tmp_path, name):
    case, encoder = stored_case(name, tmp_path)
    visual = encoder._network.visual
    trunk = visual.trunk(case["image"])
    assert torch.allclose(visual.pool(trunk), case["encode_image"], rtol=0, atol=1e-4)
    assert torch.allclose(encoder.encode_ids(case["tokens"]), case["encode_text"], rtol=0, atol=1e-4)
    if name == "resnet":
        assert torch.allclose(trunk, case["feature_map"], rtol=0, atol=1e-4)
        assert torch.allclose(visual.regions(trunk).reshape(2, 2, 2, 64), case["regions"], rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_equals_transformers(tmp_path, activation):
    from transformers import CLIPConfig, CLIPModel

    text = {
        "vocab_size": 100,
        "hidden_size": 32,
        "intermediate_size": 128,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
    }
    vision = {"hidden_size": 48, "intermediate_size": 192, "num_attention_heads": 3, "num_hidden_layers": 3}
    vision |= {"image_size": 64, "patch_size": 16}
    ends = {"bos_token_id": 98, "eos_token_id": 99, "pad_token_id": 0}
    config = CLIPConfig(
        text_config={**text, **ends, "hidden_act": activation},
        vision_config={**vision, "hidden_act": activation},
        projection_dim=24,
    )
    torch.manual_seed(0)
    model = CLIPModel(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(tmp_path)
    encoder = CLIPEncoder(tmp_path)
    ids = torch.tensor([[98, 5, 6, 7, 99, 0, 0], [98, 8, 99, 0, 0, 0, 0]])
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        words = model.text_projection(model.text_model(input_ids=ids).pooler_output)
        images = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
    visual = encoder._network.visual
    assert words.std() > 0.1
    assert torch.allclose(encoder.encode_ids(ids), words, rtol=1e-5, atol=1e-5)
    assert torch.allclose(visual.pool(visual.trunk(pixels)), images, rtol=1e-5, atol=1e-5)


def test_short_context_equals_77_positions(encoder):
    network = encoder._network
    torch.manual_seed(1)
    short = torch.randn(4, 3, 64, requires_grad=True)
    padded = short.detach().clone().requires_grad_()
    table = network.token_embedding.weight
    row = [table[-2].expand(4, 1, -1), padded, table[-1].expand(4, 1, -1), table[0].expand(4, 72, -1)]
    whole = network.read_tokens(torch.cat(row, dim=1), torch.full((4,), 4))
    found = encoder.encode_tokens(short)
    direction = torch.randn_like(found)
    (found * direction).sum().backward()
    (whole * direction).sum().backward()
    assert torch.allclose(found, whole, rtol=0, atol=1e-5)
    assert short.grad.abs().mean() > 1e-3
    assert torch.allclose(short.grad, padded.grad, rtol=0, atol=1e-5)


def test_gradients_only_through_free_tokens(encoder, pictures):
    assert not any(parameter.requires_grad for parameter in encoder._network.parameters())
    outputs = [encoder.encode_text(["a cat"]), encoder.encode_image(pictures), encoder.encode_regions(pictures)]
    assert not any(output.requires_grad for output in outputs)
    assert encoder.encode_tokens(torch.zeros(1, 2, 64, requires_grad=True)).requires_grad
    with pytest.raises(ValueError, match="at most 75 free tokens"):
        encoder.encode_tokens(torch.zeros(1, 76, 64))


def test_text_and_its_tokens_agree(encoder):
    assert isinstance(encoder, SharedEncoder)
    texts = ["a photo of a cat", "cat's"]
    together = encoder.encode_text(texts)
    assert torch.allclose(together[1:], encoder.encode_text(texts[1:]), atol=1e-6)
    ids = encoder.tokenizer.encode(texts[:1], 77)[0, 1:-1]
    assert torch.allclose(encoder.encode_tokens(encoder.token_table[ids][None]), together[:1], atol=1e-6)
    assert encoder.encode_text([" ".join(["cat"] * 200)]).isfinite().all()
    assert encoder.encode_text([]).shape == (0, 24)


def test_regions_of_a_square_picture_are_the_towers_locations(encoder, pictures):
    visual = encoder._network.visual
    grid = 64 // visual.stride
    expected = visual.regions(visual.trunk(normalise(pictures))).reshape(3, grid, grid, 24).permute(0, 3, 1, 2)
    found = encoder.encode_regions(pictures)
    assert found.shape == (3, 7, 7, 24)
    assert torch.allclose(torch.nn.functional.adaptive_avg_pool2d(expected, 7).permute(0, 2, 3, 1), found, atol=1e-5)
    images, regions = encoder.encode_both(pictures)
    assert torch.allclose(images, encoder.encode_image(pictures), atol=1e-5)
    assert torch.allclose(regions, found, atol=1e-5)


def test_regions_read_their_own_place(encoder):
    """What changes in the left half of a wide picture changes the left columns most, also beyond the central square."""
    picture = np.full((64, 192, 3), 90, np.uint8)
    changed = picture.copy()
    changed[:, :32] = np.random.default_rng(3).integers(0, 256, (64, 32, 3))
    change = (encoder.encode_regions([changed]) - encoder.encode_regions([picture]))[0].norm(dim=-1).mean(dim=0)
    assert change[0] > 2 * change[6]
    assert torch.equal(encoder.encode_image([changed]), encoder.encode_image([picture]))
    mixed = encoder.encode_regions([picture, np.ascontiguousarray(changed.transpose(1, 0, 2)), changed])
    assert torch.allclose(mixed[2], encoder.encode_regions([changed])[0], atol=1e-5)
    shapes = [regions.shape for regions in encoder.encode_both([picture, changed])]
    assert shapes == [(2, 24), (2, 7, 7, 24)]


def test_vit_regions_by_hand(tmp_path):
    """With a last attention layer whose weights are forced to the identity, the whole block gives the regions."""
    save_file(tiny_state("vit"), tmp_path / "model.safetensors")
    visual = CLIPEncoder(tmp_path)._network.visual
    trunk = visual.trunk(torch.randn(1, 3, 64, 64))
    block = visual.transformer.resblocks[-1]
    expected = []
    for position in range(1, trunk.shape[1]):
        # Attention over a sequence of one position can only read that position.
        expected.append(visual.ln_post(block(trunk[:, position : position + 1]))[:, 0] @ visual.proj)
    assert torch.allclose(visual.regions(trunk)[0], torch.cat(expected), atol=1e-5)


def test_positions_are_interpolated_only_where_the_grid_differs():
    rows, columns = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij")
    positions = torch.cat([torch.full((1, 2), 9.0), torch.stack([rows, columns], dim=-1).reshape(16, 2)])
    assert fit_positions(positions, 4, 4) is positions
    wide = fit_positions(positions, 4, 8)
    assert wide[0].tolist() == [9, 9]
    wide = wide[1:].reshape(4, 8, 2)
    assert torch.allclose(wide[:, :, 0], torch.arange(4.0)[:, None].expand(4, 8), atol=1e-6)
    assert (wide[:, 1:, 1] > wide[:, :-1, 1]).all()


def test_preprocessing():
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:, 16:80] = (255, 127, 0)
    image = normalise([crop_centre(picture, 64)])
    assert image.shape == (1, 3, 64, 64)
    expected = [(1 - 0.48145466) / 0.26862954, (127 / 255 - 0.4578275) / 0.26130258, -0.40821073 / 0.27577711]
    assert torch.allclose(image, torch.tensor(expected)[None, :, None, None].expand_as(image), atol=1e-6)
    assert crop_centre(np.zeros((100, 37, 3), np.uint8), 64).shape == (64, 64, 3)
    assert [
        fit_stride(np.zeros(shape, np.uint8), 64, 16).shape for shape in ((50, 77, 3), (640, 10, 3), (64, 64, 3))
    ] == [
        (64, 96, 3),
        (192, 64, 3),
        (64, 64, 3),
    ]


def test_bfloat16(encoder, pictures):
    half = CLIPEncoder(encoder.weights, dtype=torch.bfloat16)
    free = torch.randn(2, 3, 64, requires_grad=True)
    pairs = [
        (half.encode_image(pictures), encoder.encode_image(pictures)),
        (half.encode_text(["a cat"]), encoder.encode_text(["a cat"])),
        (half.encode_regions(pictures), encoder.encode_regions(pictures)),
        (half.encode_tokens(free), encoder.encode_tokens(free)),
    ]
    for found, exact in pairs:
        assert found.dtype == torch.float32
        assert torch.nn.functional.cosine_similarity(found, exact, dim=-1).min() > 0.99
    assert half.fingerprint != encoder.fingerprint
    with pytest.raises(ValueError, match="float16"):
        CLIPEncoder(encoder.weights, dtype=torch.float16)


def test_vocabulary_of_other_weights(tmp_path):
    state = tiny_state("vit")
    state["token_embedding.weight"] = state["token_embedding.weight"][:-1].clone()
    save_file(state, tmp_path / "model.safetensors")
    save_vocabulary(tmp_path, "merges")
    with pytest.raises(CheckpointError, match=r"vocab\.json: has 522 tokens, but the weights in .* have 521"):
        CLIPEncoder(tmp_path).encode_text(["cat"])


def test_load_encoder_by_name(tmp_path, monkeypatch):
    save_file(tiny_state("vit"), tmp_path / "model.safetensors")
    monkeypatch.setenv("TRISEP_CLIP", str(tmp_path))
    with pytest.raises(
        CheckpointError, match="is not 'clip-vit-b32': expected D = 512, ViT tower, stride 32, got D = 24, ViT"
    ):
        load_encoder("clip-vit-b32")
    with pytest.raises(CheckpointError, match="expected one of lite, clip-rn50, clip-vit-b32"):
        load_encoder("clip")
