"""How a model's mask logits are best stretched and shifted: `logit' = temperature · logit + bias`, chosen on held-out mixtures.

    python benchmarks/mask_calibration.py CHECKPOINT AVMINI_FOLDER [--mixtures 60]

Absent queries in training make a model cautious, and a binary target makes its masks steeper than the ratio that separates best.
Prints the mean SI-SDR improvement (dB) of text queries over a grid, asked alone and together. The mixtures are another draw (seed
1) than the protocol's list (seed 0), of the same clips. `scripts/promote_model.py` takes the choice and puts it into the fusion's
scale and bias, where it is exact.
"""

import argparse
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from trisep.catalogue import checkpoint_folder
from trisep.checkpoint import load_model
from trisep.encoders import load_encoder
from trisep.metrics import si_sdr
from trisep.protocols import avmini
from trisep.scoring.sounds import mix
from trisep.spectrogram.masks import apply_masks, exclusive_masks, network_input, pad_frames
from trisep.spectrogram.stft import stft
from trisep.types import QueryEmbedding

TEMPERATURES = (0.7, 0.85, 1.0)
BIASES = (0.0, 0.4, 0.8, 1.2)


def main() -> None:
    """Score the grid."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("data", type=Path)
    parser.add_argument("--mixtures", type=int, default=60)
    arguments = parser.parse_args()
    checkpoint = load_model(checkpoint_folder(arguments.checkpoint))
    signal, encoder = checkpoint.signal, load_encoder(checkpoint.encoder)
    gained: dict[tuple[float, float, str], list[float]] = {}
    for mixture in islice(avmini.mixtures(arguments.data, seed=1), arguments.mixtures):
        sources = mix(mixture.sources, avmini.LEVEL_DB, signal.sample_rate_hz)
        heard = sources.sum(axis=0)
        spectrum = stft(torch.from_numpy(heard)[None], signal)
        gain = 10 ** (signal.mixture_level_db / 20) / float(np.sqrt(np.mean(heard**2)))
        log_magnitude = pad_frames(network_input(spectrum.abs() * gain, signal), checkpoint.model.time_multiple)  # type: ignore
        query = QueryEmbedding(vectors=encoder.encode_text([avmini.TEMPLATE.format(source.label) for source in mixture.sources])[None])
        with torch.inference_mode():
            logits = checkpoint.model(log_magnitude, query).logits[..., : spectrum.shape[-1]]
        before = [si_sdr(reference=source, estimate=heard) for source in sources]
        for temperature in TEMPERATURES:
            for bias in BIASES:
                masks = torch.sigmoid(temperature * logits + bias)
                for way, chosen in (("alone", masks), ("together", exclusive_masks(masks))):
                    estimates = apply_masks(spectrum, chosen, signal, len(heard))[0].numpy()
                    scores = [float(si_sdr(reference=s, estimate=e) - b) for s, e, b in zip(sources, estimates, before, strict=True)]
                    gained.setdefault((temperature, bias, way), []).extend(scores)
    print("| temperature | bias | alone | together |\n|---|---|---|---|")
    for temperature in TEMPERATURES:
        for bias in BIASES:
            alone, together = (np.mean(gained[temperature, bias, way]) for way in ("alone", "together"))
            print(f"| {temperature} | {bias} | {alone:.2f} | {together:.2f} |")


if __name__ == "__main__":
    main()
