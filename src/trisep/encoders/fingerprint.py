"""What tells two versions of a frozen network apart."""

import hashlib
from collections.abc import Mapping

from torch import Tensor


def weights_fingerprint(state: Mapping[str, Tensor], beside: str = "") -> str:
    """The first 16 hexadecimal digits of the SHA-256 of `beside` (a vocabulary, say) and all weights, in the order of
    their names.
    """
    digest = hashlib.sha256(beside.encode())
    for name in sorted(state):
        digest.update(name.encode() + state[name].cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
