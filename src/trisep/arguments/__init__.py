"""What each verb of the command line can be told: one frozen dataclass a verb, its docstrings being the help text.

`cli` fills them from the command line and hands them on to the verb. Nothing here computes or touches a file, or imports torch, so that
`--help` is instant.

    separation.py   separate, localize
    preparation.py  data, prepare, embed, store
    training.py     train
    evaluation.py   evaluate, compare, listening-test
    analysis.py     analyze
    checkpoints.py  import, models, info
"""

import math
from typing import Literal

from trisep.errors import ConfigError

Device = Literal["auto", "cpu", "cuda", "mps"]
IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
MEDIA_SUFFIXES = frozenset({".aac", ".avi", ".flac", ".m4a", ".mkv", ".mov", ".mp3", ".mp4", ".ogg", ".opus", ".wav", ".webm"})
FPS_RANGE = (0.01, 60.0)
"""How many pictures of a second of video can be looked at."""


def require_positive(**values: float | None) -> None:
    """Raise ConfigError for the first value that is not above zero or not finite; None means not given."""
    for name, value in values.items():
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"{_option(name)} must be {'finite' if value == math.inf else 'above 0'}, got {value}")


def require_not_negative(**values: int | None) -> None:
    """Raise ConfigError for the first value below zero; None means not given."""
    for name, value in values.items():
        if value is not None and value < 0:
            raise ConfigError(f"{_option(name)} must not be negative, got {value}")


def require_between(low: float, high: float, **values: float | None) -> None:
    """Raise ConfigError for the first value outside `low` to `high`, both of which are allowed; None means not given."""
    for name, value in values.items():
        if value is not None and not low <= value <= high:
            raise ConfigError(f"{_option(name)} must be between {low} and {high}, got {value}")


def _option(name: str) -> str:
    """A value's name as the command line spells it."""
    return f"--{name.replace('_', '-')}"
