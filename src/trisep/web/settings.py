"""What the command line chooses for the page: its place, its model and its limits. Nothing is opened here."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from trisep.errors import ConfigError

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""Names of this computer, which the Host of a request may always be."""


def bundled_sample() -> Path | None:
    """Return the video of the examples where trisep runs from its repository; None elsewhere."""
    path = Path(__file__).parents[3] / "examples" / "dog_and_trumpet.mp4"
    return path if path.is_file() else None


@dataclass(frozen=True, kw_only=True, slots=True)
class WebSettings:
    """How the page is served."""

    host: str = "127.0.0.1"
    """Address to listen at."""
    port: int = 8347
    """Port to listen at; 0 takes a free one."""
    allowed_hosts: tuple[str, ...] = ()
    """Names, other than those of this computer and `host`, under which the page may be asked for."""
    model: str = "default"
    """Name of a model, or the folder of a checkpoint."""
    device: str = "auto"
    """Device to compute on."""
    demo: bool = False
    """Serve the sample alone, without a token: visitors send no files."""
    sample: Path | None = field(default_factory=bundled_sample)
    """A video to try; None where there is none."""
    max_upload_bytes: int = 4 << 30
    """Largest file."""
    max_seconds: float = 1800.0
    """Longest sound."""
    max_sessions: int = 32
    """Largest number of files that are held at once."""
    max_stems: int = 9
    """Largest number of stems of a file."""
    max_waiting: int = 32
    """Largest number of jobs that wait."""
    keep_seconds: float = 3600.0
    """How long after its last use a file is removed with all its stems."""

    def __post_init__(self) -> None:
        """Raise ConfigError for a port that does not exist, a name with more than a name, and a sample that is none."""
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"--port must be between 0 and 65535, got {self.port}")
        for name in self.allowed_hosts:
            if not re.fullmatch(r"[\w.-]+|\[[0-9a-fA-F:.]+\]", name):
                raise ConfigError(f"--allow-host: expected a name alone, such as sound.example.org, got {name!r}")
        if self.sample is not None and not self.sample.is_file():
            raise ConfigError(f"--sample {self.sample}: expected a video, and there is no such file")
        if self.demo and self.sample is None:
            raise ConfigError("--demo shows a sample, and there is none here; give a video with --sample")
