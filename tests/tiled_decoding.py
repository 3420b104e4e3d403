"""Middle fusion the straightforward way, as an oracle."""

import torch

from trisep.networks.audio_unet import AudioUNet


def decode_tiled(unet: AudioUNet, maps: list[torch.Tensor], vectors: torch.Tensor) -> torch.Tensor:
    """Tile every vector [B, Q, D] behind its mixture's bottleneck and decode it in full: [B, Q, K, 256, T]."""
    rows = []
    for mixture, asked in enumerate(vectors):
        for vector in asked:
            own = [one[mixture : mixture + 1] for one in maps]
            tiled = vector[None, :, None, None].expand(-1, -1, *own[-1].shape[2:])
            rows.append([*own[:-1], torch.cat([own[-1], tiled], dim=1)])
    return unet.decode([torch.cat(level) for level in zip(*rows, strict=True)]).unflatten(0, vectors.shape[:2])
