"""Open-Unmix's and HTDemucs' architectures, with random weights, beside `separate` on the same sound. Prints one table.

    OMP_NUM_THREADS=1 python benchmarks/peers.py [--seconds 20] [--stems 2] [--repeats 3]

The peers are the packages `openunmix` and `demucs`, neither of which is a dependency: `pip install --no-deps openunmix
demucs julius einops dora-search omegaconf lameenc treetable retrying`. What is not installed gets no row. Both are
built as their authors publish them (UMX-L's size; HTDemucs' defaults), one network a target in Open-Unmix, as it is
used. No cost depends on weights or on what is heard. Times are processor seconds over all threads, the least of repeats
that take turns: spectrogram, network, masks and inverse, without files. `separate` also levels, downmixes and judges
presence.
"""

import argparse
import importlib
import importlib.util
import sys
import time
from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch

from trisep import Audio
from trisep.separation.options import SeparationOptions
from trisep.separation.separator import load

RATE_HZ = 44100
SOURCES = ("vocals", "drums", "bass", "other")


def without_torchaudio() -> None:
    """Stand in for torchaudio, which both packages import for reading files alone, where it is not installed."""
    if importlib.util.find_spec("torchaudio") is None:
        sys.modules["torchaudio"] = ModuleType("torchaudio")


def open_unmix(num_targets: int, sound: torch.Tensor) -> Callable[[], object]:
    """Open-Unmix of UMX-L's size, one network a target, without the iterations of its Wiener filter."""
    model = importlib.import_module("openunmix.model")
    targets = {name: model.OpenUnmix(2049, 2, hidden_size=1024, max_bin=1487) for name in SOURCES[:num_targets]}
    separator = model.Separator(targets, niter=0, sample_rate=RATE_HZ, nb_channels=2).eval()
    return lambda: separator(sound[None])


def htdemucs(num_targets: int, sound: torch.Tensor) -> Callable[[], object]:
    """HTDemucs with its defaults, in its segments of 7.8 s that overlap by a quarter."""
    model = importlib.import_module("demucs.htdemucs").HTDemucs(list(SOURCES[:num_targets]), segment=7.8).eval()
    length = int(7.8 * RATE_HZ)

    def run() -> list[torch.Tensor]:
        starts = range(0, sound.shape[1], length * 3 // 4)
        parts = (sound[None, :, start : start + length] for start in starts)
        return [model(torch.nn.functional.pad(part, (0, length - part.shape[-1]))) for part in parts]

    return run


def ours(num_targets: int, sound: torch.Tensor) -> Callable[[], object]:
    """`Separator.separate` with the default model in single precision."""
    separator, audio = load("default", device="cpu"), Audio(sound.numpy(), RATE_HZ)
    words, options = ("violin", "dog barking", "rain", "trumpet")[:num_targets], SeparationOptions(precision="fp32")
    return lambda: separator.separate(audio, words, options)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--stems", type=int, default=2, choices=range(1, 5))
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    without_torchaudio()
    drawn = np.random.default_rng(0).standard_normal((2, int(arguments.seconds * RATE_HZ)), dtype=np.float32)
    sound = torch.from_numpy(0.1 * (drawn + 0.5 * drawn[::-1]))
    ways = {"trisep separate, default": ours}
    ways |= {"Open-Unmix (UMX-L)": open_unmix} if importlib.util.find_spec("openunmix") else {}
    ways |= {"HTDemucs": htdemucs} if importlib.util.find_spec("demucs") else {}
    runs = {name: way(arguments.stems, sound) for name, way in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    with torch.inference_mode():
        for _ in range(arguments.repeats):
            for name, run in runs.items():
                started = time.process_time()
                run()
                times[name].append(time.process_time() - started)
    print(f"{torch.get_num_threads()} thread(s), {arguments.seconds:g} s of stereo, {arguments.stems} stems")
    print("| system | processor s | × real time | times ours |")
    print("|---|---|---|---|")
    own = min(next(iter(times.values())))
    for name, values in times.items():
        print(f"| {name} | {min(values):.2f} | {arguments.seconds / min(values):.1f} | {min(values) / own:.1f} |")


if __name__ == "__main__":
    main()
