"""SGN's grouping against its sums written out, and its groups at the bottleneck against tiling them there."""

import dataclasses

import pytest
import torch

from trisep.errors import ConfigError
from trisep.models.sgn import SGN, AttentionLayer, Config
from trisep.types import QueryEmbedding


def network() -> SGN:
    torch.manual_seed(0)
    return Config.tiny().build().eval()


def spectrogram() -> torch.Tensor:
    return torch.randn(2, 1, 256, 16, generator=torch.Generator().manual_seed(0)) * 3 - 5


def test_each_patch_is_shared_out_among_the_labels_and_each_group_is_the_mean_of_its_share() -> None:
    model = network()
    with torch.no_grad():
        tokens, groups, shares = model.group(spectrogram())
        assert tokens.shape == groups.shape == (2, 3, 8) and shares.shape == (2, 3, 32 * 2)
        torch.testing.assert_close(shares.sum(dim=1), torch.ones(2, 64))
        size, patches = 8, []
        for row in range(32):
            for column in range(2):
                cut = model.unet.input_norm(spectrogram())[:, 0, row * size : (row + 1) * size, column * size :][
                    ..., :size
                ]
                patches.append(torch.einsum("brc,drc->bd", cut, model.patches.weight[:, 0]) + model.patches.bias)
        x = torch.cat([model.tokens.expand(2, -1, -1), torch.stack(patches, dim=1)], dim=1)
        for layer in model.attention:
            x = layer(x)
        heard = x[:, 3:]
        torch.testing.assert_close(x[:, :3], tokens)
        for index in range(2):
            keys, values = model.patch_projection(heard[index]), model.value_projection(heard[index])
            scores = torch.stack([keys @ model.token_projection(tokens[index, label]) / 8**0.5 for label in range(3)])
            expected = scores.exp() / scores.exp().sum(dim=0)
            torch.testing.assert_close(shares[index], expected, atol=1e-5, rtol=1e-4)
            for label in range(3):
                mean = sum(share * value for share, value in zip(expected[label], values, strict=True))
                torch.testing.assert_close(
                    groups[index, label], tokens[index, label] + mean / expected[label].sum(), atol=1e-5, rtol=1e-4
                )


def test_the_group_of_the_label_is_tiled_beside_the_bottleneck() -> None:
    model = network()
    labels = torch.tensor([[2, 0], [1, 1]])
    with torch.no_grad():
        output = model(spectrogram(), QueryEmbedding(label_ids=labels))
        tokens, groups, _ = model.group(spectrogram())
        for index in range(2):
            for number, label in enumerate(labels[index].tolist()):
                maps = model.unet.encode(spectrogram()[index : index + 1])
                tiled = groups[index, label][None, :, None, None].expand(-1, -1, *maps[-1].shape[2:])
                expected = model.unet.decode([*maps[:-1], torch.cat([maps[-1], tiled], dim=1)]).sum(dim=1)[0]
                torch.testing.assert_close(output.logits[index, number], expected, atol=1e-4, rtol=1e-4)
        assert torch.equal(output.bottleneck, model.unet.encode(spectrogram())[-1])
        torch.testing.assert_close(output.class_logits, model.classifier(tokens))
        torch.testing.assert_close(output.presence_logits, model.presence(groups).squeeze(2))


def test_it_also_computes_in_bfloat16() -> None:
    query = QueryEmbedding(label_ids=torch.tensor([[2, 0], [1, 1]]))
    model = network()
    with torch.no_grad():
        expected = model(spectrogram(), query)
        with torch.autocast("cpu", torch.bfloat16):
            output = model(spectrogram(), query)
    for name in ("masks", "logits", "class_logits", "presence_logits"):
        assert getattr(output, name).dtype == torch.float32
    torch.testing.assert_close(output.masks, expected.masks, atol=0.05, rtol=0.05)


def test_attention_equals_that_of_torch_s_own_layer() -> None:
    torch.manual_seed(0)
    ours = AttentionLayer(8, 2)
    theirs = torch.nn.TransformerEncoderLayer(8, 2, 32, 0.0, "gelu", batch_first=True, norm_first=True)
    pairs = (
        (theirs.self_attn.out_proj, ours.output),
        (theirs.norm1, ours.attention_norm),
        (theirs.norm2, ours.norm),
        (theirs.linear1, ours.layers[0]),
        (theirs.linear2, ours.layers[2]),
    )
    for one, other in pairs:
        one.load_state_dict(other.state_dict())
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(ours.projections.weight)
        theirs.self_attn.in_proj_bias.copy_(ours.projections.bias)
        x = torch.randn(2, 5, 8)
        torch.testing.assert_close(ours(x), theirs(x))


def test_it_reads_labels_and_settings_out_of_range_are_refused() -> None:
    model = network()
    assert (model.contract.reads, model.contract.time_multiple, model.contract.is_shift_equivariant) == (
        "labels",
        8,
        False,
    )
    with pytest.raises(ConfigError, match="reads label ids, and the query carries none"):
        model(spectrogram(), QueryEmbedding(vectors=torch.zeros(2, 2, 8)))
    for change, message in (
        ({"num_labels": 0}, "num_labels: expected at least 1, got 0"),
        ({"token_dim": 9}, "token_dim: expected a multiple of num_heads = 2.*got 9"),
        ({"token_dim": 0}, "token_dim: expected a multiple of num_heads = 2.*got 0"),
        ({"num_heads": 0}, "token_dim: expected a multiple of num_heads = 0"),
        ({"num_layers": 0}, "both and num_layers at least 1"),
        ({"patch": 24}, "patch: expected a divisor of the 256 rows, got 24"),
        ({"patch": 0}, "patch: expected a divisor of the 256 rows, got 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            dataclasses.replace(Config.tiny(), **change)  # type: ignore[arg-type]
    for least in ({"num_heads": 1, "token_dim": 1}, {"patch": 1}, {"patch": 256}, {"num_labels": 1}):
        assert dataclasses.replace(Config.tiny(), **least) != Config.tiny()
