"""What an installation consists of, and whether each part works: versions, devices, threads, files, FFmpeg, models.

Nothing is installed. A pretrained file that is missing is fetched from the hub where it can be reached, as by any use
of it.
"""

import importlib.metadata
import importlib.util
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trisep.errors import EXTRAS, TrisepError

_PACKAGES = ("torch", "av", "numpy", "scipy", "soundfile", "soxr", "safetensors", "tokenizers", "tyro")
_ENCODERS = ("libx264", "aac", "libopus", "libmp3lame")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination."""

    name: str
    value: str
    """What was found, or what is wrong and how to mend it."""
    is_problem: bool = False


def examine() -> list[Finding]:
    """Examine this installation; no part's failure keeps the others from being looked at."""
    parts: tuple[Callable[[], Iterator[Finding]], ...] = (_versions, _compute, _ffmpeg, _sound_files, _files, _models)
    findings: list[Finding] = []
    for part in parts:
        try:
            findings += part()
        except Exception as error:  # a package of another version may fail in any way
            name = part.__name__.strip("_").replace("_", " ")
            text = " ".join(str(error).split())
            told = text if isinstance(error, TrisepError) else f"{type(error).__name__}: {text}"
            findings.append(Finding(name, told, is_problem=True))
    return findings


def _versions() -> Iterator[Finding]:
    """Python, trisep and the packages it stands on."""
    yield Finding("trisep", importlib.metadata.version("trisep"))
    yield Finding("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in _PACKAGES:
        try:
            yield Finding(package, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(package, f"is missing: run pip install {package}", is_problem=True)
    there = [extra for extra in sorted(EXTRAS) if all(map(importlib.util.find_spec, EXTRAS[extra]))]
    absent = [extra for extra in sorted(EXTRAS) if extra not in there]
    missing = f" (not installed: {', '.join(absent)})" if absent else ""
    yield Finding("extras", f"{', '.join(there) or 'none'}{missing}")


def _compute() -> Iterator[Finding]:
    """Devices and threads."""
    import torch

    from trisep.separation.separator import choose_device

    device = choose_device("auto")
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine()
    yield Finding("device", f"{device.type} ({name})")
    yield Finding("threads", f"{torch.get_num_threads()} of {os.cpu_count()} processors")


def _ffmpeg() -> Iterator[Finding]:
    """The FFmpeg that PyAV brings, and the encoders that trisep writes with."""
    import av

    yield Finding("FFmpeg", f"libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}, in PyAV")
    missing = [name for name in _ENCODERS if name not in av.codecs_available]
    text = f"lacks {', '.join(missing)}: files that need them cannot be written; install the av wheel of PyPI"
    yield Finding("encoders", text if missing else ", ".join(_ENCODERS), is_problem=bool(missing))


def _sound_files() -> Iterator[Finding]:
    """A sound that is written and read again, as `separate` would."""
    import numpy as np

    from trisep.media.audio import read_audio
    from trisep.media.audio_writer import write_audio
    from trisep.types import Audio

    sound = Audio(np.linspace(-0.5, 0.5, 1600, dtype=np.float32)[None], 16_000)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.flac"
        write_audio(path, sound, subtype="flac_int16")
        read = read_audio(path).samples
    is_right = read.shape == sound.samples.shape and bool(np.abs(read - sound.samples).max() < 1e-3)
    text = "written and read" if is_right else "a sound that was written is another one when it is read"
    yield Finding("sound files", text, is_problem=not is_right)


def _files() -> Iterator[Finding]:
    """The pretrained files of others, by hash."""
    from trisep.pretrained import PRETRAINED, find

    for name in PRETRAINED:
        try:
            yield Finding(name, str(find(name)))
        except TrisepError as error:
            yield Finding(name, str(error), is_problem=True)


def _models() -> Iterator[Finding]:
    """The models of the package; each is loaded."""
    from trisep.checkpoints.registry import available_models, load_named

    for name in available_models():
        try:
            checkpoint = load_named(name)
            yield Finding(f"model {name}", f"{checkpoint.model_name}, version {checkpoint.card.get('version')}")
        except TrisepError as error:
            yield Finding(f"model {name}", str(error), is_problem=True)
    if not available_models():
        yield Finding("models", "none came with this installation; give --model a checkpoint folder", is_problem=True)
