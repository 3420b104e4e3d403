"""Where the processor time of a separation, or of a training step, goes. Prints one table of shares by stage and one by
operator.

    OMP_NUM_THREADS=1 python benchmarks/profiles.py separate FILE [--queries violin "dog barking"] [--model default]
    OMP_NUM_THREADS=1 python benchmarks/profiles.py step hfra-avmini [--batch 8] [--precision fp32]

Older code is measured by the same file, with `src` of a checkout of it on PYTHONPATH. Stages are timed by thread, from
where their functions begin to where they end, without what they call of other stages; presence and words are timed
whole. FILE is separated once into a folder that is deleted; imports and the loading of the model are left out. The
operators of `separate` are those of one more run of the network, over the longest segment, under PyTorch's profiler;
those of a step are of a whole step, on noise and random queries, after one that is not counted. Shares matter, not
times: a profiler costs time itself.
"""

import argparse
import importlib
import importlib.util
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from types import GeneratorType
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

STAGES = {
    "read, downmix and resample, twice": ("separation.source", ["stream_audio", "downmixed", "resampled_blocks"]),
    "offset, level and rumble": ("separation.source", ["OffsetMeter.update", "HeardMeter.update", "HeardMeter.finish"]),
    "STFT": ("spectrogram.stft", ["StreamedSTFT.push", "StreamedSTFT.finish"]),
    "logarithmic grid": ("separation.infer", ["to_log_frequency", "network_input"]),
    "network": ("separation.infer", ["run_network"]),
    "masks onto the mixture": ("separation.streaming", ["MaskApplier.apply", "MaskGrid.read", "joined_masks"]),
    "inverse STFT": ("spectrogram.stft", ["OverlapAdd.push", "OverlapAdd.finish"]),
    "levels over time": ("separation.stems", ["LevelMeter.update"]),
    "presence": ("separation.presence", ["PresenceFeatures.update", "StemEvidence.update"]),
    "words": ("separation.separator", ["embed_queries_for", "reasons_not_understood", "stem_evidence"]),
    "write": ("separation.stems", ["StemFiles.write", "StemFiles.finish", "StemFiles.write_json"]),
}
WHOLE = {"presence", "words"}
"""Stages that keep what they call: presence has an STFT of its own."""
KINDS = {
    "convolutions, backward": ("convolution_backward", "mkldnn_convolution_backward", "thnn_conv2d_backward"),
    "transposed convolutions": ("aten::_convolution", "conv_transpose2d"),
    "convolutions": ("mkldnn_convolution", "conv2d", "aten::convolution"),
    "sums over kernels (last layer)": ("bmm", "col2im", "im2col", "tensordot", "aten::mm", "addmm"),
    "normalisation": ("batch_norm", "layer_norm"),
    "activations": ("relu", "sigmoid", "clamp", "threshold", "gelu"),
    "copies": ("copy_", "contiguous", "clone", "constant_pad", "fill_", "zero_", "cat", "empty", "resize"),
    "Fourier transform": ("fft",),
    "optimiser": ("adamw", "lerp", "addcdiv"),
    "products and sums": ("mul", "add", "sub", "div", "sum", "mean"),
}
"""Operators of PyTorch by a part of their name; the first kind that fits. A transposed convolution on a CPU does its
work in `_convolution` itself."""


class StageClock:
    """Processor seconds by stage, over all threads, each stage without what it calls of other stages."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._lock, self._local = threading.Lock(), threading.local()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Charge the time within to a stage, and none of it to the stage around it."""
        stack = self._local.__dict__.setdefault("stack", [])
        if stack and stack[-1] in WHOLE:
            yield
            return
        self._charge(stack)
        stack.append(name)
        try:
            yield
        finally:
            self._charge(stack)
            stack.pop()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, and the generator that it may return, charged to a stage."""

        @wraps(function)
        def charged(*arguments: Any, **options: Any) -> Any:
            """Call it within the stage."""
            with self.stage(name):
                result = function(*arguments, **options)
            return self._items(name, result) if isinstance(result, GeneratorType) else result

        return charged

    def _items(self, name: str, items: Iterator[Any]) -> Iterator[Any]:
        """Items, each made within the stage."""
        end = object()
        while True:
            with self.stage(name):
                item = next(items, end)
            if item is end:
                return
            yield item

    def _charge(self, stack: list[str]) -> None:
        """Give the time since the last change to the stage that is on."""
        now = time.thread_time()
        if stack:
            with self._lock:
                self.seconds[stack[-1]] += now - self._local.since
        self._local.since = now


def put_clocks(clock: StageClock) -> None:
    """Put a clock around the functions of `STAGES`; older code may lack some of them."""
    for stage, (module, names) in STAGES.items():
        for name in names:
            owner: Any = importlib.import_module(f"trisep.{module}")
            *outer, last = name.split(".")
            for part in outer:
                owner = getattr(owner, part, None)
            if hasattr(owner, last):
                setattr(owner, last, clock.timed(stage, getattr(owner, last)))


def profile_separation(path: Path, queries: list[str], model: str) -> None:
    """Print the stages of one separation into files, and the operators of one run of its network."""
    from trisep.separation import infer
    from trisep.separation.separator import load

    clock, longest = StageClock(), {}
    put_clocks(clock)
    run_network = infer.run_network

    def noted(network: Callable[..., Any], magnitude: torch.Tensor, num_frames: int) -> Any:
        """Run the network, and remember its longest segment."""
        if num_frames > longest.get("num_frames", 0):
            longest.update(network=network, magnitude=magnitude.clone(), num_frames=num_frames)
        return run_network(network, magnitude, num_frames)

    infer.run_network = noted
    separator = load(model, device="cpu")
    with TemporaryDirectory() as folder:
        started = time.process_time()
        separator.separate_to_files(path, queries, Path(folder) / "stems")
        total = time.process_time() - started
    show(f"{path.name}, {len(queries)} queries: {total:.2f} processor seconds", clock.seconds, total)
    picture = infer.network_input(longest["magnitude"], longest["num_frames"])
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        longest["network"](picture)
    show_kinds(f"the network, {longest['num_frames']} frames", profile)


def profile_step(name: str, batch: int, precision: str) -> None:
    """Print the stages and the operators of one step of a recipe, on noise and random vectors as queries."""
    from trisep.recipes import recipe
    from trisep.training.loop import to_spectra
    from trisep.types import Mixture, QueryEmbedding

    keep_freed_memory()
    chosen, clock = recipe(name), StageClock()
    torch.manual_seed(0)
    model = chosen.model.build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    num_sources, num_samples = chosen.mixing.num_sources, chosen.signal.clip_samples
    sounds = 0.1 * torch.randn(batch, num_sources + 1, num_samples)
    vectors = torch.randn(batch, num_sources, chosen.model.embedding_dim)
    mixture = Mixture(sounds[:, 1:], sounds[:, 0], QueryEmbedding(vectors=vectors))
    autocast = torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()

    def step() -> None:
        """Take a step as the training loop does."""
        optimizer.zero_grad(set_to_none=True)
        with autocast:
            with clock.stage("spectra"):
                spectra = to_spectra(mixture, chosen)
            with clock.stage("forward and loss"):
                loss = chosen.loss(model, spectra).total
        with clock.stage("backward"):
            loss.backward()
        with clock.stage("optimiser"):
            torch.nn.utils.clip_grad_norm_(model.parameters(), chosen.optimizer.gradient_clip)
            optimizer.step()

    step()
    clock.seconds.clear()
    started = time.process_time()
    step()
    total = time.process_time() - started
    show(f"a step of {name}, {batch} mixtures, {precision}: {total:.2f} processor seconds", clock.seconds, total)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        step()
    show_kinds(f"the operators of a step of {name}", profile)


def keep_freed_memory() -> None:
    """Keep freed memory as the training loop does, where it does."""
    if importlib.util.find_spec("trisep.media.memory") is not None:
        importlib.import_module("trisep.media.memory").keep_freed()


def show_kinds(title: str, profile: torch.profiler.profile) -> None:
    """Print the time of PyTorch's operators by kind."""
    kinds: dict[str, float] = defaultdict(float)
    for event in profile.key_averages():
        kind = next(
            (kind for kind, parts in KINDS.items() if any(part in event.key.lower() for part in parts)), "other"
        )
        kinds[kind] += event.self_cpu_time_total / 1e6
    show(title, kinds, sum(kinds.values()))


def show(title: str, seconds: dict[str, float], total: float) -> None:
    """Print seconds and shares, the largest first, and what is left of the total."""
    table = Table(title=title)
    for column in ("part", "seconds", "share"):
        table.add_column(column)
    rest = total - sum(seconds.values())
    for part, value in [*sorted(seconds.items(), key=lambda row: -row[1]), ("rest", rest)]:
        table.add_row(part, f"{value:.3f}", f"{100 * value / total:.1f} %")
    Console(width=100).print(table)


def main() -> None:
    """Profile what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    separate = verbs.add_parser("separate")
    separate.add_argument("file", type=Path)
    separate.add_argument("--queries", nargs="+", default=["violin", "dog barking"])
    separate.add_argument("--model", default="default")
    step = verbs.add_parser("step")
    step.add_argument("recipe")
    step.add_argument("--batch", type=int, default=8)
    step.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    arguments = parser.parse_args()
    if arguments.verb == "separate":
        profile_separation(arguments.file, arguments.queries, arguments.model)
    else:
        profile_step(arguments.recipe, arguments.batch, arguments.precision)


if __name__ == "__main__":
    main()
