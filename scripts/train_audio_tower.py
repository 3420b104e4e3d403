"""Train the audio tower of `lite`: by distilling EfficientAT mn04 (Schmid, Koutini & Widmer 2023), and with labels.

    TRISEP_EFFICIENTAT=mn04.safetensors python scripts/train_audio_tower.py CACHE STORE --labels labels.csv \
        --unlabelled OFFSCREEN_STORE --names audioset_labels.csv

Cuts the sounds of the stores (`trisep prepare`), drawn with weight n^-0.5 by label and group, into segments of 3.072
and 1.024 s, half of them at another speed, adds seeded mixtures of two or three segments at −10 … +10 dB, and asks the
teacher for its logits of each, once: log-mel spectrograms and targets are kept in CACHE. The teacher is corrected by
what the labels say, as `audio_tower_classes.csv` maps them to classes: a class that is there has a logit of at least
1; a melodic instrument that is not, of at most −4. Classes of that file which AudioSet lacks are added to its 527; they
have no teacher. The network learns the targets, standardised by class, those that are heard weighted up to eleven
times. Kill it at any time: the same command goes on from CACHE/state.pt, which is written every minute. Writes
src/trisep/pretrained/audio_tower.safetensors (float16) at the end.
"""

import argparse
import csv
import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from fit_lite_concepts import class_embeddings
from safetensors.torch import save_file
from torch.nn.functional import interpolate

from trisep import pretrained
from trisep.encoders.audio_tower import LEVEL_DB, SIGNAL, AudioTowerNetwork, log_mel
from trisep.encoders.efficientat import NUM_CLASSES, SAMPLE_RATE_HZ, EfficientAT, find_efficientat
from trisep.encoders.lite import LiteEncoder
from trisep.encoders.resample import resample
from trisep.media.files import replacing, write_json
from trisep.media.level import gain_to, level_db
from trisep.mixing.mixture import group_clips
from trisep.separation.precision import choose_precision
from trisep.store.read import ClipStore
from trisep.training.labels import read_labels, read_optional_column

LENGTHS = {"long": 49152, "short": 16384}
"""Samples of the two kinds of segment: 12 and 4 steps of the network."""
BATCH = {"long": 96, "short": 192}
PRESENT, ABSENT, SILENT = 1.0, -4.0, -7.0
"""Logit of a class that is there, at least; of a melodic instrument that is not, at most; of a class without teacher
that is not there."""
AUDIBLE_DB = -15.0
"""A labelled sound counts as there where its segment is at least so loud beside the whole recording, and beside the
mixture: recordings hold silence."""


class Classes(NamedTuple):
    """What the network tells apart."""

    names: list[str]
    """AudioSet's display names in its order, then those without a teacher."""
    of_label: dict[str, list[int]]
    """The classes that a label is."""
    melodic: list[int]
    """Instruments that a labelled recording of something else does not hold."""


class Sounds(NamedTuple):
    """The recordings."""

    waveforms: list[np.ndarray]
    """At 16 kHz and `LEVEL_DB`."""
    labels: list[str]
    """Empty where it is not known."""
    weights: np.ndarray
    """Probability of each in a draw."""


class Part(NamedTuple):
    """One recording's part of a segment."""

    samples: np.ndarray
    label: str
    is_audible: bool


def main() -> None:
    """Cache, train, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--labels", type=Path, required=True, help="the store's labels, as for trisep train")
    parser.add_argument("--unlabelled", type=Path, nargs="*", default=(), help="stores of sounds without a label")
    parser.add_argument("--names", type=Path, required=True, help="CSV whose column display_name names the classes")
    parser.add_argument(
        "--classes", type=Path, default=Path(__file__).with_name("audio_tower_classes.csv"), help="label,class,melodic"
    )
    parser.add_argument(
        "--long", type=int, nargs=2, default=(10000, 22000), help="segments of 3 s, mixtures of two or three"
    )
    parser.add_argument("--short", type=int, nargs=2, default=(6000, 8000), help="the same of 1 s")
    parser.add_argument("--steps", type=int, default=3200)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.cache.mkdir(exist_ok=True)
    classes = read_classes(arguments.names, arguments.classes)
    if not (arguments.cache / "cache.json").is_file():
        counts = {"long": arguments.long, "short": arguments.short}
        sounds = read_sounds(arguments.store, arguments.labels, arguments.unlabelled)
        fill(arguments.cache, sounds, classes, counts, arguments.seed)
    network = train(arguments.cache, len(classes.names), arguments.steps, arguments.rate, arguments.seed)
    pack(network, arguments.cache, classes.names)


def read_classes(names_file: Path, labels_file: Path) -> Classes:
    """Read AudioSet's display names, in its order, and the classes of each label."""
    with names_file.open(encoding="utf-8") as lines:
        names = [row["display_name"] for row in csv.DictReader(lines)]
    of_label, melodic = defaultdict(list), set()
    with labels_file.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if row["class"] not in names:
                names.append(row["class"])
            of_label[row["label"]].append(names.index(row["class"]))
            if row["melodic"]:
                melodic.add(names.index(row["class"]))
    return Classes(names, dict(of_label), sorted(melodic))


def read_sounds(store: Path, labels_file: Path, unlabelled: Sequence[Path]) -> Sounds:
    """Read all sounds, and how likely each is drawn."""
    clips = ClipStore(store)
    numbers, names = read_labels(labels_file, clips)
    groups = read_optional_column(labels_file, "group", clips)
    labels = [names[number] for number in numbers]
    waveforms = [_levelled(clips.read_waveform(clip)) for clip in range(len(clips))]
    for other in map(ClipStore, unlabelled):
        waveforms += [_levelled(other.read_waveform(clip)) for clip in range(len(other))]
        labels += [""] * len(other)
        groups += [str(other.path)] * len(other)
    kinds = np.unique(labels, return_inverse=True)[1]
    return Sounds(waveforms, labels, group_clips(kinds, groups, 0.5).weights)


def fill(cache: Path, sounds: Sounds, classes: Classes, counts: Mapping[str, Sequence[int]], seed: int) -> None:
    """Write log-mel spectrograms and targets of all segments and mixtures, and cache.json last."""
    seconds = sum(map(len, sounds.waveforms)) / SIGNAL.sample_rate_hz
    print(f"{len(sounds.waveforms)} sounds, {seconds / 3600:.2f} hours", flush=True)
    teacher = EfficientAT(find_efficientat())
    for name, length in LENGTHS.items():
        generator = np.random.default_rng([seed, length])
        num_alone, num_mixed = counts[name]
        total = num_alone + num_mixed
        pictures = np.lib.format.open_memmap(
            cache / f"{name}_mel.npy", "w+", np.float16, (total, 64, length // SIGNAL.hop_samples)
        )
        targets = np.lib.format.open_memmap(
            cache / f"{name}_targets.npy", "w+", np.float16, (total, len(classes.names))
        )
        for start in range(0, total, 32):
            rows = range(start, min(start + 32, total))
            batch = [draw_parts(sounds, length, generator, mixed=row >= num_alone) for row in rows]
            waveforms = torch.from_numpy(np.stack([_levelled(sum(part.samples for part in parts)) for parts in batch]))
            pictures[rows.start : rows.stop] = log_mel(waveforms).half().numpy()
            logits = teacher.logits(resample(waveforms, SIGNAL.sample_rate_hz, SAMPLE_RATE_HZ)).numpy()
            targets[rows.start : rows.stop] = [
                corrected(of_teacher, parts, classes) for of_teacher, parts in zip(logits, batch, strict=True)
            ]
            if start % 1600 == 0:
                print(f"{name}: {start} of {total}, {time.strftime('%H:%M:%S')}", flush=True)
    write_json(cache / "cache.json", {"sounds": len(sounds.labels), "teacher": teacher.fingerprint, **counts})


def draw_parts(sounds: Sounds, length: int, generator: np.random.Generator, *, mixed: bool) -> list[Part]:
    """Draw a random segment, or two, in a fifth of the cases three, at −10 … +10 dB, half of them at other speeds.

    Each has `length` samples at 16 kHz, and is repeated where its recording is shorter.
    """
    parts = []
    for _ in range((3 if generator.random() < 0.2 else 2) if mixed else 1):
        number = generator.choice(len(sounds.weights), p=sounds.weights)
        factor = 2 ** (generator.uniform(-2.5, 2.5) / 12) if generator.random() < 0.5 else 1.0
        sound = sounds.waveforms[number]
        wanted = int(np.ceil(length * factor))
        start = int(generator.integers(max(1, len(sound) - wanted + 1)))
        cut = np.resize(sound, wanted) if len(sound) < wanted else sound[start : start + wanted]
        if factor != 1:
            cut = np.interp(np.arange(length) * factor, np.arange(wanted), cut).astype(np.float32)
        is_audible = level_db(cut) > LEVEL_DB + AUDIBLE_DB
        gain = np.float32(10 ** (generator.uniform(-10, 10) / 20))
        parts.append(Part(gain * _levelled(cut[:length]), sounds.labels[number], is_audible))
    least = level_db(sum(part.samples for part in parts)) + AUDIBLE_DB
    return [part._replace(is_audible=part.is_audible and level_db(part.samples) > least) for part in parts]


def corrected(of_teacher: np.ndarray, parts: Sequence[Part], classes: Classes) -> np.ndarray:
    """Correct the teacher's logits [527] by what the labels say, and add those of the other classes: [C]."""
    target = np.full(len(classes.names), SILENT, np.float32)
    target[: len(of_teacher)] = of_teacher
    there = {one for part in parts for one in classes.of_label.get(part.label, ())}
    heard = {one for part in parts if part.is_audible for one in classes.of_label.get(part.label, ())}
    if all(part.label in classes.of_label for part in parts):
        others = [one for one in classes.melodic if one not in there]
        target[others] = np.minimum(target[others], ABSENT)
    target[sorted(heard)] = np.maximum(target[sorted(heard)], PRESENT)
    return target


def _levelled(sound: np.ndarray) -> np.ndarray:
    return (sound * gain_to(sound, LEVEL_DB)).astype(np.float32)


def train(cache: Path, num_classes: int, num_steps: int, rate: float, seed: int) -> AudioTowerNetwork:
    """Train for `num_steps` batches, from CACHE/state.pt if it is there; every fortieth segment only judges."""
    torch.manual_seed(seed)
    pictures = {name: np.load(cache / f"{name}_mel.npy", mmap_mode="r") for name in LENGTHS}
    targets = {name: torch.from_numpy(np.load(cache / f"{name}_targets.npy")).float() for name in LENGTHS}
    mean, deviation = usual(targets["long"])
    network = AudioTowerNetwork(num_classes).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, num_steps, pct_start=0.1)
    first, state = 0, cache / "state.pt"
    if state.is_file():
        saved = torch.load(state, weights_only=True)
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        first = saved["step"]
    written = time.monotonic()
    for step in range(first, num_steps):
        generator = np.random.default_rng([seed, step])
        name = "short" if step % 3 == 2 else "long"
        rows = np.sort(generator.choice(len(targets[name]), BATCH[name], replace=False))
        rows = rows[rows % 40 != 0]
        picture = coloured(torch.from_numpy(pictures[name][rows]).float(), generator)
        loss = distance(network.train(), picture, targets[name][rows], mean, deviation)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            held = np.arange(0, len(targets["long"]), 40)
            with torch.no_grad():
                picture = torch.from_numpy(pictures["long"][held]).float()
                judged = distance(network.eval(), picture, targets["long"][held], mean, deviation)
            print(f"{time.strftime('%H:%M:%S')} step {step}: loss {loss:.4f}, held out {judged:.4f}", flush=True)
        if time.monotonic() - written > 60:
            save(state, network, optimizer, schedule, step + 1)
            written = time.monotonic()
    save(state, network, optimizer, schedule, num_steps)
    with torch.no_grad():
        network.classes.weight *= deviation[:, None]
        network.classes.bias.copy_(network.classes.bias * deviation + mean)
    return network.eval()


def usual(targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of each class's logit; the deviation of a class without teacher, rare as it is, at least 2."""
    deviation = targets.std(dim=0)
    deviation[NUM_CLASSES:].clamp_(min=2.0)
    return targets.mean(dim=0), deviation


def coloured(picture: torch.Tensor, generator: np.random.Generator) -> torch.Tensor:
    """Change level and colour of log-mel spectrograms [B, 64, T] by up to 7 and 4 dB: other rooms and microphones."""
    gain = generator.uniform(-0.4, 0.4, (len(picture), 1, 1))
    knots = generator.uniform(-0.25, 0.25, (len(picture), 1, 6))
    curve = interpolate(torch.from_numpy(knots), picture.shape[1], mode="linear", align_corners=True)
    return picture + (torch.from_numpy(gain) + curve.transpose(1, 2)).float()


def distance(network, picture, target, mean, deviation):  # type: ignore[no-untyped-def]
    """Mean squared difference of the standardised logits, weighted by 1 + 10 σ(logit + 2) of the target."""
    is_narrow = choose_precision("auto", torch.device("cpu")) == "bf16"
    with torch.autocast("cpu", torch.bfloat16, enabled=is_narrow):
        standard = network.classify(network(picture).mean(dim=1)).float()
    weight = 1 + 10 * torch.sigmoid(target + 2)
    return (weight * (standard - (target - mean) / deviation).square()).mean()


def save(path, network, optimizer, schedule, step):  # type: ignore[no-untyped-def]
    """Write everything that the next run needs."""
    state = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "step": step,
    }
    with replacing(path) as temporary:
        torch.save(state, temporary)


def pack(network: AudioTowerNetwork, cache: Path, names: Sequence[str]) -> None:
    """Write src/trisep/pretrained/audio_tower.safetensors: float16 weights, names, and their text embeddings."""
    tensors = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
    tensors["class_embeddings"] = class_embeddings(LiteEncoder(), [tuple(name.split(", ")) for name in names])
    mean, deviation = usual(torch.from_numpy(np.load(cache / "long_targets.npy")).float())
    tensors |= {"logit_mean": mean, "logit_deviation": deviation}
    with replacing(Path(pretrained.__file__).parent / "audio_tower.safetensors") as temporary:
        halves = {name: value.half().contiguous() for name, value in tensors.items()}
        save_file(halves, temporary, metadata={"classes": json.dumps(names)})


if __name__ == "__main__":
    main()
