"""The numbers that a network computes in: single precision, or bfloat16 where the processor multiplies them faster.

bfloat16 has 8 significant bits. What that changes in masks and scores, and how much time it saves, stands in
docs/experiments/2026-11-27-precision.md. Spectra, masks and sums outside the network stay in single precision.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from trisep.separation import Precision
from trisep.separation.infer import Network
from trisep.types import MaskOutput


def choose_precision(precision: Precision, device: torch.device) -> Literal["fp32", "bf16"]:
    """Return the precision that `auto` stands for on a device, or the one that is named."""
    if precision != "auto":
        return precision
    return "bf16" if bfloat16_pays(device) else "fp32"


def bfloat16_pays(device: torch.device) -> bool:
    """Return whether a GPU computes in bfloat16, or a processor has AMX; with AVX512-BF16 alone it takes longer."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type == "cpu" and bool(torch.cpu._is_amx_tile_supported())


def in_precision(network: Network, precision: Precision, device: torch.device) -> Network:
    """Return the network as it computes in a precision; its masks are float32 in any case."""
    if choose_precision(precision, device) == "fp32":
        return network

    def in_bfloat16(log_magnitude: Float[Tensor, "B 1 256 T"]) -> MaskOutput:
        """Run the network in bfloat16 where that is safe, as torch's autocast decides for each layer."""
        with torch.autocast(device.type, torch.bfloat16):
            output = network(log_magnitude)
        return MaskOutput(
            masks=output.masks.float(),
            logits=None if output.logits is None else output.logits.float(),
            noise_masks=None if output.noise_masks is None else output.noise_masks.float(),
            bottleneck=output.bottleneck,
        )

    return in_bfloat16
