"""How a model's masks are best stretched and shifted: `logit' = temperature · logit + bias`, chosen on held-out
mixtures.

    python benchmarks/mask_calibration.py CHECKPOINT FOLDER [--mixtures 60] [--protocol avmini]

Absent queries in training make a model cautious, and a binary target makes its masks steeper than the ratio that
separates best. VAST's mask for words is that of `vector_regions` regions, where its training summed over all: for it
that factor is tried, too. Prints the mean SI-SDR improvement (dB) of text queries over a grid, asked alone and
together. The mixtures are another draw (seed 1) than the protocol's list (seed 0), of the same clips; the halves for
choosing (`solomini-choosing` and so on) leave the clips of the other half out.
`scripts/promote_model.py` takes the choice and puts it where the logits are made, where it is exact.
"""

import argparse
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from trisep.checkpoints.format import Checkpoint
from trisep.checkpoints.registry import load_named
from trisep.evaluation.mixtures import infer_masks
from trisep.evaluation.queries import embed_sources
from trisep.evaluation.sounds import mix
from trisep.metrics import si_sdr
from trisep.protocols import ProtocolMixture, avmini, protocol
from trisep.spectrogram.masks import apply_masks, exclusive_masks
from trisep.spectrogram.stft import stft

TEMPERATURES = (0.4, 0.55, 0.7, 0.85, 1.0)
BIASES = (-0.4, 0.0, 0.4, 0.8)
VECTOR_REGIONS = (1.0, 1.5, 2.0, 3.0, 4.0, 8.0, 16.0, 49.0)


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table."""

    temperature: float = 1.0
    bias: float = 0.0
    vector_regions: float = 1.0

    def masks(self, logits: Float[Tensor, "Q 256 T"]) -> Float[Tensor, "Q 256 T"]:
        """What the calibrated model would return."""
        return (torch.sigmoid(self.temperature * logits + self.bias) * self.vector_regions).clamp(0, 1)


def main() -> None:
    """Score every setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("data", type=Path)
    parser.add_argument("--mixtures", type=int, default=60)
    parser.add_argument("--protocol", default="avmini", help="whose mixtures, drawn with seed 1 (default: %(default)s)")
    arguments = parser.parse_args()
    checkpoint = load_named(arguments.checkpoint)
    settings = settings_for(checkpoint)
    gained: dict[tuple[Setting, str], list[float]] = {}
    for mixture in islice(protocol(arguments.protocol).pairs(arguments.data, 1), arguments.mixtures):
        for key, scores in score(checkpoint, mixture, settings).items():
            gained.setdefault(key, []).extend(scores)
    print("| temperature | bias | vector_regions | alone | together |\n|---|---|---|---|---|")
    for setting in settings:
        alone, together = (np.mean(gained[setting, way]) for way in ("alone", "together"))
        factor = f"{setting.vector_regions:g}" if hasattr(checkpoint.model.config, "vector_regions") else "–"
        print(f"| {setting.temperature} | {setting.bias} | {factor} | {alone:.2f} | {together:.2f} |")


def settings_for(checkpoint: Checkpoint) -> list[Setting]:
    """Temperature × bias; for VAST at the checkpoint's own number of regions, and then every number of regions with
    logits as they are.
    """
    regions = getattr(checkpoint.model.config, "vector_regions", None)
    grid = [Setting(temperature, bias, regions or 1.0) for temperature, bias in product(TEMPERATURES, BIASES)]
    return (
        grid
        if regions is None
        else list(dict.fromkeys([*grid, *(Setting(vector_regions=number) for number in VECTOR_REGIONS)]))
    )


def score(
    checkpoint: Checkpoint, mixture: ProtocolMixture, settings: list[Setting]
) -> dict[tuple[Setting, str], list[float]]:
    """SI-SDR improvement of each source in dB, by setting and by whether the queries are asked alone or together."""
    signal = checkpoint.signal
    sources = mix(mixture.sources, avmini.LEVEL_DB, signal.sample_rate_hz)
    heard = sources.sum(axis=0)
    spectrum = stft(torch.from_numpy(heard)[None], signal)
    query = embed_sources(checkpoint, mixture.sources, "text", avmini.PROTOCOL)
    logits = infer_masks(checkpoint, heard, query).logits
    before = [si_sdr(reference=source, estimate=heard) for source in sources]
    gained = {}
    for setting in settings:
        masks = setting.masks(logits)[None]
        for way, chosen in (("alone", masks), ("together", exclusive_masks(masks))):
            estimates = apply_masks(spectrum, chosen, signal, len(heard))[0].numpy()
            gained[setting, way] = [
                float(si_sdr(reference=s, estimate=e) - b) for s, e, b in zip(sources, estimates, before, strict=True)
            ]
    return gained


if __name__ == "__main__":
    main()
