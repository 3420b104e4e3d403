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

from typing import Literal

from trisep.errors import ConfigError

Device = Literal["auto", "cpu", "cuda", "mps"]
IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
MEDIA_SUFFIXES = frozenset({".aac", ".avi", ".flac", ".m4a", ".mkv", ".mov", ".mp3", ".mp4", ".ogg", ".opus", ".wav", ".webm"})


def require_positive(**values: float | None) -> None:
    """Raise ConfigError for the first value that is not above zero; None means not given."""
    for option, value in values.items():
        if value is not None and not value > 0:
            raise ConfigError(f"--{option.replace('_', '-')} must be above 0, got {value}")
