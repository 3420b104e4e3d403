"""The check that no package which breaks a CPU-only torch is installed."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "forbidden_packages.py"


@pytest.mark.parametrize(
    ("installed", "torch_version", "offenders"),
    [
        ({"numpy", "torch"}, "2.13.0+cpu", []),
        ({"numpy", "TorchVision", "timm"}, "2.13.0+cpu", ["timm", "torchvision"]),
        ({"open_clip_torch"}, "2.13.0", ["open-clip-torch"]),
        ({"torchaudio", "torchcodec"}, "2.13.0", ["torchaudio", "torchcodec"]),
        ({"nvidia_cublas_cu13"}, "2.13.0+cpu", ["nvidia-cublas-cu13"]),
        ({"nvidia-cublas-cu13"}, "2.13.0+cu130", []),
    ],
)
def test_offending_packages(installed: set[str], torch_version: str, offenders: list[str]) -> None:
    specification = importlib.util.spec_from_file_location("forbidden_packages", SCRIPT)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    assert module.offending_packages(installed, torch_version) == offenders
