"""Where a convolution's output is one frame wide, oneDNN computes it wrongly in bfloat16 (see `HalvingConv`)."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def single_precision_if(is_narrow: bool) -> AbstractContextManager[Any]:
    """Return a context in which autocast on a processor is off if `is_narrow`; inputs must be float32 then."""
    return torch.autocast("cpu", enabled=False) if is_narrow else nullcontext()
