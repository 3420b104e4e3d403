"""The fingerprint that distinguishes two versions of a frozen network. This file knows no network."""

import hashlib
from collections.abc import Mapping

from torch import Tensor


def weights_fingerprint(state: Mapping[str, Tensor], beside: str = "") -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of `beside` and all weights, in the order of their names.

    `beside` is data other than weights, such as a vocabulary.
    """
    digest = hashlib.sha256(beside.encode())
    for name in sorted(state):
        digest.update(name.encode() + state[name].cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
