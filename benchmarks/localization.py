"""Do heat maps look at the right half of avmini's duets, two photographs side by side that sound together?

    python benchmarks/localization.py AVMINI_FOLDER [--model NAME] [--by text|audio|caption] [--fps 1] [--limit N] \
        [--sheet FILE]

For both labels of each video: the share of its maps whose highest cell lies in the half where the label's photograph
is; a cell of the middle column is in neither. Mean over videos with its bootstrap interval. By caption, a label's
vector is the latent caption of its own half of the centre frame. `--sheet` draws centre frames of 12 videos, one label
each.
"""

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import trisep
from trisep.encoders import encode_query_text
from trisep.figures.localization import HeatOverlay
from trisep.figures.sheet import draw_sheet
from trisep.media.video import read_frames
from trisep.metrics import bootstrap_mean
from trisep.metrics.localization import share_in_half
from trisep.protocols.avmini import LACKING
from trisep.queries.captions import CaptionSettings, find_captions
from trisep.separation.localize import audio_vector, centre_seconds, heat_maps, stream_regions

HALVES = ("left", "right")
NUM_PICTURES = 12


@dataclass(frozen=True, slots=True)
class Outcome:
    """The maps of one label of one video."""

    video: Path
    label: str
    half: str
    share: float
    """Of maps that peak in the label's half."""
    found: trisep.Localization


def main() -> None:
    """Localise both labels of every duet, print the table, draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--by", choices=("text", "audio", "caption"), default="text")
    parser.add_argument("--fps", type=float, default=1.0)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()
    separator = trisep.load(arguments.model, device="cpu")
    outcomes = []
    for video, labels in duets(arguments.data)[: arguments.limit]:
        times, grids, doubts = zip(*stream_regions(video, separator.encoder, fps=arguments.fps), strict=True)
        for half, label, vector in zip(HALVES, labels, vectors(separator, video, labels, arguments.by), strict=True):
            maps = heat_maps(torch.stack(grids), vector, torch.stack(doubts) if arguments.by == "text" else None)
            found = trisep.Localization(maps=maps, frame_times_seconds=times, query=label)
            outcomes.append(Outcome(video, label, half, share_in_half(maps, half), found))
    print(
        f"localised by {arguments.by}, model {arguments.model}, encoder {separator.encoder.name}, {arguments.fps:g} "
        "maps a second\n"
    )
    print("| labels | queries | videos | maps that peak in the right half, % |\n|---|---|---|---|")
    known = [outcome for outcome in outcomes if outcome.label not in LACKING]
    lacking = [outcome for outcome in outcomes if outcome.label in LACKING]
    for title, group in (("ImageNet has them", known), ("ImageNet lacks them", lacking), ("all", outcomes)):
        print_row(title, group)
    wrong = sorted((outcome for outcome in outcomes if outcome.share < 1), key=lambda outcome: outcome.share)
    print(
        "\nbelow 100 %: "
        + ", ".join(f"{one.video.stem} {one.label} ({one.half}) {100 * one.share:.0f}" for one in wrong)
    )
    if arguments.sheet:
        draw_sheet([picture(outcome) for outcome in chosen(outcomes)], arguments.sheet)


def duets(data: Path) -> list[tuple[Path, tuple[str, str]]]:
    """Videos of the split duet_dev with their left and right label."""
    with (data / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "duet_dev"]
    labels = [row["label"].split("+") for row in rows]
    return [(data / row["path"], (left, right)) for row, (left, right) in zip(rows, labels, strict=True)]


def vectors(separator: trisep.Separator, video: Path, labels: tuple[str, str], by: str) -> list[Tensor]:
    """What each label's regions are compared with."""
    if by == "text":
        return [encode_query_text(separator.encoder, label, ground=False) for label in labels]
    if by == "audio":
        return [audio_vector(separator, video, label) for label in labels]
    centre = read_frames(video, [centre_seconds(video)])[0]
    middle = centre.shape[1] // 2
    halves = separator.encoder.encode_image([centre[:, :middle], centre[:, middle:]])
    return list(find_captions(separator.encoder, halves, CaptionSettings()).captions)


def print_row(title: str, outcomes: list[Outcome]) -> None:
    """One row of the table; the labels of one video are one item of the bootstrap."""
    by_video: dict[Path, list[float]] = {}
    for outcome in outcomes:
        by_video.setdefault(outcome.video, []).append(100 * outcome.share)
    if outcomes:
        items = np.array([np.mean(shares) for shares in by_video.values()])
        interval = bootstrap_mean(items, generator=np.random.default_rng(0))
        print(
            f"| {title} | {len(outcomes)} | {len(by_video)} | {interval.mean:.1f} [{interval.low:.1f}, "
            f"{interval.high:.1f}] |"
        )


def chosen(outcomes: list[Outcome]) -> list[Outcome]:
    """Evenly spread over the videos, left and right in turn."""
    videos = list(dict.fromkeys(outcome.video for outcome in outcomes))
    numbers = np.linspace(0, len(videos) - 1, min(NUM_PICTURES, len(videos))).round().astype(int)
    return [outcomes[2 * number + turn % 2] for turn, number in enumerate(numbers)]


def picture(outcome: Outcome) -> tuple[str, np.ndarray]:
    """The centre frame under its heat, with its title."""
    time_seconds = centre_seconds(outcome.video)
    frame = read_frames(outcome.video, [time_seconds])[0]
    title = f"{outcome.video.stem}: {outcome.label} ({outcome.half}), {100 * outcome.share:.0f} %"
    return title, HeatOverlay([outcome.found]).draw(frame, time_seconds)


if __name__ == "__main__":
    main()
