"""Fails when a package is installed that breaks or replaces a CPU-only torch. Knows nothing of trisep itself."""

import re
import sys
from importlib.metadata import distributions, version

FORBIDDEN = {"torchvision", "torchaudio", "torchcodec", "timm", "open-clip", "open-clip-torch"}


def offending_packages(installed: set[str], torch_version: str) -> list[str]:
    """Returns the names in `installed` that must not be there: the forbidden ones, and nvidia-* beside a CPU-only
    torch.

    Names may be spelled in any of the ways that package indexes treat as equal. A CPU-only torch is one whose version
    ends in "+cpu".
    """
    names = {re.sub(r"[-_.]+", "-", name).lower() for name in installed}
    offenders = names & FORBIDDEN
    if torch_version.endswith("+cpu"):
        offenders |= {name for name in names if name.startswith("nvidia-")}
    return sorted(offenders)


def main() -> int:
    """Checks the running environment; returns the exit status, 1 with one line on stderr when something has to go."""
    offenders = offending_packages(
        {distribution.metadata["Name"] for distribution in distributions()}, version("torch")
    )
    if offenders:
        print(f"forbidden packages are installed, remove them or delete .venv: {', '.join(offenders)}", file=sys.stderr)
    return int(bool(offenders))


if __name__ == "__main__":
    sys.exit(main())
