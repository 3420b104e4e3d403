"""Mask targets from known sources, and masks applied to mixtures."""

from jaxtyping import Complex, Float
from torch import Tensor

from trisep.spectrogram.log_frequency import to_linear_frequency
from trisep.spectrogram.stft import istft
from trisep.types import SignalSettings


def ratio_mask(
    sources: Float[Tensor, "B N F T"], total: Float[Tensor, "B F T"] | None = None
) -> Float[Tensor, "B N F T"]:
    """`A_i / Σ_j A_j`, clamped to [0, 1] (VAST Eq. 10). `total` replaces the sum where more than the sources is in the
    mixture.
    """
    denominator = sources.sum(dim=1) if total is None else total
    return (sources / denominator.clamp_min(1e-10).unsqueeze(1)).clamp(0, 1)


def binary_mask(sources: Float[Tensor, "B N F T"], mixture: Float[Tensor, "B F T"]) -> Float[Tensor, "B N F T"]:
    """1 where a source makes up more than half of the mixture's magnitude, else 0 (CLIPSep, before Eq. 1)."""
    return (sources > 0.5 * mixture.unsqueeze(1)).to(sources.dtype)


def exclusive_masks(masks: Float[Tensor, "B Q 256 T"]) -> Float[Tensor, "B Q 256 T"]:
    """Share each bin out among queries asked together, so that the masks sum to at most 1 and two stems never hold the
    same sound.

    With odds `o = M / (1 − M)`, query i gets `o_i / (1/Q + Σ_j o_j)`: a softmax over the queries and the rest, which
    for one query is the mask itself; the more is asked for, the less is expected of the rest. Ours; the papers ask one
    query at a time.
    """
    if masks.shape[1] == 1:
        return masks
    odds = masks / (1 - masks).clamp_min(1e-6)
    return odds / (1 / masks.shape[1] + odds.sum(dim=1, keepdim=True))


def apply_masks(
    spectrum: Complex[Tensor, "B F T"], masks: Float[Tensor, "B Q 256 T"], settings: SignalSettings, num_samples: int
) -> Float[Tensor, "B Q S"]:
    """`iSTFT(mask · mixture)`: the estimates carry the mixture's phase (spec section 1)."""
    linear = to_linear_frequency(masks, spectrum.shape[-2])
    return istft(linear * spectrum.unsqueeze(1), settings, num_samples)
