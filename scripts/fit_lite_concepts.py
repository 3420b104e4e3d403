"""Fit the concepts that ImageNet lacks, or knows poorly, for the `lite` encoder, on labelled photographs.

    python scripts/fit_lite_concepts.py MEDIA_FOLDER MANIFEST.csv --splits train wild_train

The manifest's columns `path, split, label` name videos of one photograph each, of which three frames are taken. Each
label with at least `--least` clips gets one linear head on the 1280-d features, beside ImageNet's 1000, fitted so that
a softmax over all of them names it; unlabelled other photographs (labels with fewer clips) must stay with ImageNet's
classes. Labels shape this encoder and nothing else: they never reach a separator. Writes
src/trisep/pretrained/lite_classes.safetensors: heads, and the text embedding of every class.
"""

import argparse
import csv
import json
from collections import Counter
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn.functional import normalize

from trisep import pretrained
from trisep.encoders import QUERY_TEMPLATES
from trisep.encoders.lite import LiteEncoder, imagenet_names
from trisep.media.video import read_frames

_KNOWN_WELL = [
    "accordion",
    "banjo",
    "cello",
    "chainsaw",
    "french horn",
    "harp",
    "oboe",
    "saxophone",
    "trombone",
    "violin",
]


def main() -> None:
    """Read the photographs, fit, score on the split `dev`, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--splits", nargs="+", default=["train", "wild_train"])
    parser.add_argument("--least", type=int, default=30, help="labels with fewer clips are taken as other photographs")
    parser.add_argument(
        "--leave-out", nargs="*", default=_KNOWN_WELL, help="labels that ImageNet names well, or with too few pictures"
    )
    parser.add_argument("--decay", type=float, default=2e-3, help="weight decay of the heads")
    arguments = parser.parse_args()
    rows = [
        row
        for row in csv.DictReader(arguments.manifest.open(encoding="utf-8"))
        if row["split"] in {*arguments.splits, "dev"}
    ]
    encoder = LiteEncoder(fitted=False)
    features = torch.cat(
        [encoder.image_features(list(read_frames(arguments.media / row["path"], [0.0, 4.0, 7.75]))) for row in rows]
    )
    features = features.unflatten(0, (len(rows), 3))
    fitted = [row["split"] != "dev" for row in rows]
    counts = Counter(row["label"] for row, use in zip(rows, fitted, strict=True) if use)
    concepts = sorted(
        label for label, count in counts.items() if count >= arguments.least and label not in arguments.leave_out
    )
    known = {label for label, count in counts.items() if count >= arguments.least}
    target = torch.tensor([concepts.index(row["label"]) if row["label"] in concepts else -1 for row in rows])
    used = torch.tensor(fitted)
    weight, bias = fit(
        features[used].flatten(0, 1),
        target[used].repeat_interleave(3),
        encoder.imagenet_head,
        len(concepts),
        arguments.decay,
    )

    names = [*imagenet_names(), *((concept,) for concept in concepts)]
    embeddings = class_embeddings(encoder, names)
    for title, count in (("ImageNet alone", 1000), ("with concepts", len(names))):
        head = [torch.cat(pair)[:count] for pair in zip(encoder.imagenet_head, (weight, bias), strict=True)]
        vectors = encoder.embed_logits(features[~used][:, 1] @ head[0].T + head[1], embeddings[:count])
        report(title, encoder, vectors, [row["label"] for row in rows if row["split"] == "dev"], sorted(known))
    save_file(
        {"weight": weight.half(), "bias": bias.half(), "class_embeddings": embeddings.half()},
        Path(pretrained.__file__).parent / "lite_classes.safetensors",
        metadata={"concepts": json.dumps(concepts)},
    )


def fit(
    features: torch.Tensor,
    target: torch.Tensor,
    imagenet: tuple[torch.Tensor, torch.Tensor],
    num_concepts: int,
    decay: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Heads [E, 1280] and biases [E] by maximum likelihood; target −1 stands for "some class of ImageNet"."""
    weight = torch.zeros(num_concepts, 1280, requires_grad=True)
    bias = torch.full((num_concepts,), -2.0, requires_grad=True)
    others = torch.logsumexp(features @ imagenet[0].T + imagenet[1], dim=1)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        logits = features @ weight.T + bias
        total = torch.logaddexp(others, torch.logsumexp(logits, dim=1))
        wanted = torch.where(target >= 0, logits.gather(1, target.clamp_min(0)[:, None])[:, 0], others)
        loss = (total - wanted).mean() + decay / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weight.detach(), bias.detach()


def class_embeddings(encoder: LiteEncoder, names: list[tuple[str, ...]]) -> torch.Tensor:
    """Text embedding of every class [C, 384]: mean over templates, then over its names, unit length."""
    flat = [name for group in names for name in group]
    embeddings = torch.stack(
        [encoder.encode_text([template.format(name) for name in flat]) for template in QUERY_TEMPLATES]
    )
    groups = normalize(embeddings.mean(dim=0), dim=-1).split([len(group) for group in names])
    return normalize(torch.stack([group.mean(dim=0) for group in groups]), dim=-1)


def report(title: str, encoder: LiteEncoder, vectors: torch.Tensor, labels: list[str], names: list[str]) -> None:
    """Zero-shot top-1 over `names` and the mean cosine to the true name."""
    cosines = normalize(vectors, dim=-1) @ class_embeddings(encoder, [(name,) for name in names]).T
    truth = torch.tensor([names.index(label) for label in labels])
    hits = cosines.argmax(dim=1) == truth
    print(
        f"{title}: top-1 {hits.float().mean():.3f}, cosine to the true name "
        f"{cosines[range(len(truth)), truth].mean():.3f}"
    )
    wrong = {name: round(hits[truth == index].float().mean().item(), 2) for index, name in enumerate(names)}
    print("  below 1:", {name: value for name, value in wrong.items() if value < 1})


if __name__ == "__main__":
    main()
