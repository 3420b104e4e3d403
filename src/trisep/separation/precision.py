"""The precision that a network computes in, and where bfloat16 is the faster one. Masks are float32 in any case."""

from pathlib import Path
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
    """Return whether bfloat16 is faster than single precision on a device, as docs/performance.md measured it.

    GPUs that compute in it, processors with AMX, and AMD's with AVX512-BF16; Intel's take longer with AVX512-BF16 alone
    (virtual machines may hide AMX). A rule and no measurement, so that a second run gives the same stems.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device.type != "cpu":
        return False
    return bool(
        torch.cpu._is_amx_tile_supported() or (torch.cpu._is_avx512_bf16_supported() and _processor_maker() == "AMD")
    )


def _processor_maker() -> str:
    """Return "AMD", or "" for other makers and where the system does not tell."""
    try:
        return "AMD" if "AuthenticAMD" in Path("/proc/cpuinfo").read_text(errors="replace")[:4096] else ""
    except OSError:
        return ""


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
