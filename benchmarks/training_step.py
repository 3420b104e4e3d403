"""Where a training step of `clipsep-avmini` spends its time, and what each choice bought: ratios measured in one run.

    python benchmarks/training_step.py --data STORE [--offscreen STORE] [--media FOLDER_OF_VIDEOS]

First table: one step (loss, backward, optimiser) on one batch, from the straightforward way to the recipe's. Second:
one sample from the clip store against decoding the videos again each time, and against a sample without augmentation.
Then the heaviest operators of the recipe's step.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import torch
from rich.console import Console
from rich.table import Table

from trisep.media.audio import read_audio
from trisep.mixing.augmentation import AugmentationConfig
from trisep.recipes import Recipe, recipe
from trisep.training.data import MixtureDataset, open_store, to_mixture
from trisep.training.loop import to_spectra
from trisep.types import Mixture

REPEATS = 5


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--offscreen", type=Path)
    parser.add_argument("--media", type=Path, help="the videos that the store was made from")
    arguments = parser.parse_args()
    chosen = recipe("clipsep-avmini")
    store = open_store(arguments.data, chosen)
    dataset = MixtureDataset(
        store, chosen, seed=1, offscreen=open_store(arguments.offscreen, chosen) if arguments.offscreen else None
    )
    batch = to_mixture(
        torch.utils.data.default_collate([dataset[index] for index in range(chosen.training.batch_size)])
    )

    bilinear = replace(chosen, model=replace(chosen.model, unet=replace(chosen.model.unet, upsampling="bilinear")))
    steps = {
        "bilinear, fp32, contiguous": step(bilinear, batch, torch.float32, torch.contiguous_format),
        "transposed, fp32, contiguous": step(chosen, batch, torch.float32, torch.contiguous_format),
        "transposed, fp32, channels last": step(chosen, batch, torch.float32, torch.channels_last),
        "transposed, bf16, contiguous": step(chosen, batch, torch.bfloat16, torch.contiguous_format),
        "transposed, bf16, channels last (the recipe)": step(chosen, batch, torch.bfloat16, torch.channels_last),
    }
    print_ratios("one training step, batch 16", steps)

    with torch.profiler.profile() as profile:
        list(steps.values())[-1]()
    print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=12, max_name_column_width=44))

    plain = MixtureDataset(store, replace(chosen, augmentation=AugmentationConfig()), seed=1)
    samples: dict[str, Callable[[int], object]] = {}
    if arguments.media:
        samples["decode both videos each time, not augmented"] = lambda index: [
            read_audio(arguments.media / store.source((2 * index + side) % len(store)), sample_rate_hz=16000, mono=True)
            for side in (0, 1)
        ]
    samples["clip store, not augmented"] = plain.__getitem__
    samples["clip store, augmented (the recipe)"] = dataset.__getitem__
    torch.set_num_threads(1)
    print_ratios(
        "one sample, one thread",
        {name: (lambda make=make: [make(index) for index in range(32)]) for name, make in samples.items()},
    )


def step(chosen: Recipe, batch: Mixture, dtype: torch.dtype, memory_format: torch.memory_format) -> Callable[[], None]:
    """One optimiser step in the given arithmetic and memory format."""
    torch.manual_seed(0)
    model = chosen.model.build().to(memory_format=memory_format)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = chosen.loss(model, to_spectra(batch, chosen)).total
        loss.backward()
        optimizer.step()

    return run


def print_ratios(title: str, ways: dict[str, Callable[[], object]]) -> None:
    """Median over runs that take turns, and the speed relative to the first way."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(REPEATS + 1):
        for name, run in ways.items():
            started = perf_counter()
            run()
            if repeat:
                times[name].append(perf_counter() - started)
    medians = {name: sorted(values)[len(values) // 2] for name, values in times.items()}
    table = Table(title=title)
    for column in ("way", "median seconds", "times faster"):
        table.add_column(column)
    first = next(iter(medians.values()))
    for name, median in medians.items():
        table.add_row(name, f"{median:.3f}", f"{first / median:.2f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
