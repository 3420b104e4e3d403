"""The program and the machine that an evaluation ran with."""

import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from trisep.checkpoints.format import git_revision


def environment(num_workers: int | None) -> dict[str, Any]:
    """Return what the numbers were made with, beyond the settings: versions and machine."""
    packages = ("trisep", "torch", "numpy", "scipy", "av", "soxr")
    versions = {"python": platform.python_version(), **{name: _version(name) for name in packages}}
    return {
        "git_revision": git_revision(),
        "platform": platform.platform(),
        "workers": num_workers,
        "versions": versions,
    }


def _version(package: str) -> str | None:
    """Return the version of a package; None for one that runs from a checkout."""
    with suppress(PackageNotFoundError):
        return version(package)
    return None
