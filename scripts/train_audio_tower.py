"""Train the audio tower of `lite` by distilling EfficientAT mn04 (Schmid, Koutini & Widmer 2023).

    TRISEP_EFFICIENTAT=mn04.safetensors python scripts/train_audio_tower.py CACHE STORE … --labels names.csv

Takes every sound of the stores (`trisep prepare`): no labels are read. Cuts them into segments of 3.072 and 1.024 s,
adds seeded mixtures of two or three segments at −10 … +10 dB, and asks the teacher for its logits of each, once:
log-mel spectrograms and logits are kept in CACHE. The network learns the logits, standardised by class, those that
the teacher hears weighted up to eleven times. Kill it at any time: the same command goes on from CACHE/state.pt, which
is written every minute. Writes src/trisep/pretrained/audio_tower.safetensors (float16) at the end.
"""

import argparse
import csv
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from fit_lite_concepts import class_embeddings
from safetensors.torch import save_file

from trisep import pretrained
from trisep.encoders.audio_tower import NUM_CLASSES, SIGNAL, AudioTowerNetwork, log_mel
from trisep.encoders.efficientat import SAMPLE_RATE_HZ, EfficientAT, find_efficientat
from trisep.encoders.lite import LiteEncoder
from trisep.encoders.resample import resample
from trisep.media.files import replacing, write_json
from trisep.media.level import gain_to
from trisep.store.read import ClipStore

LENGTHS = {"long": 49152, "short": 16384}
"""Samples of the two kinds of segment: 12 and 4 steps of the network."""
BATCH = {"long": 96, "short": 192}


def main() -> None:
    """Cache, train, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("stores", type=Path, nargs="+")
    parser.add_argument(
        "--long", type=int, nargs=2, default=(5500, 5000), help="segments of 3 s, mixtures of two or three"
    )
    parser.add_argument("--short", type=int, nargs=2, default=(2500, 2000), help="the same of 1 s")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--labels", type=Path, required=True, help="CSV whose column display_name names the classes")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.cache.mkdir(exist_ok=True)
    if not (arguments.cache / "cache.json").is_file():
        counts = {"long": arguments.long, "short": arguments.short}
        fill(arguments.cache, arguments.stores, counts, arguments.seed)
    network = train(arguments.cache, arguments.steps, arguments.rate, arguments.seed)
    pack(network, arguments.cache, read_names(arguments.labels))


def read_names(file: Path) -> list[str]:
    """Read AudioSet's display names, in its order."""
    with file.open(encoding="utf-8") as lines:
        return [row["display_name"] for row in csv.DictReader(lines)]


def pack(network: AudioTowerNetwork, cache: Path, names: Sequence[str]) -> None:
    """Write src/trisep/pretrained/audio_tower.safetensors: float16 weights, names, and their text embeddings."""
    tensors = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
    tensors["class_embeddings"] = class_embeddings(LiteEncoder(), [tuple(name.split(", ")) for name in names])
    logits = torch.from_numpy(np.load(cache / "long_logits.npy")).float()
    tensors |= {"logit_mean": logits.mean(dim=0), "logit_deviation": logits.std(dim=0)}
    with replacing(Path(pretrained.__file__).parent / "audio_tower.safetensors") as temporary:
        halves = {name: value.half().contiguous() for name, value in tensors.items()}
        save_file(halves, temporary, metadata={"classes": json.dumps(names)})


def fill(cache: Path, stores: Sequence[Path], counts: Mapping[str, Sequence[int]], seed: int) -> None:
    """Write log-mel spectrograms and the teacher's logits of all segments and mixtures, and cache.json last."""
    sounds = [_levelled(store.read_waveform(clip)) for store in map(ClipStore, stores) for clip in range(len(store))]
    print(f"{len(sounds)} sounds, {sum(map(len, sounds)) / SIGNAL.sample_rate_hz / 3600:.2f} hours", flush=True)
    teacher = EfficientAT(find_efficientat())
    for name, length in LENGTHS.items():
        generator = np.random.default_rng([seed, length])
        num_alone, num_mixed = counts[name]
        total = num_alone + num_mixed
        pictures = np.lib.format.open_memmap(
            cache / f"{name}_mel.npy", "w+", np.float16, (total, 64, length // SIGNAL.hop_samples)
        )
        logits = np.lib.format.open_memmap(cache / f"{name}_logits.npy", "w+", np.float16, (total, NUM_CLASSES))
        for start in range(0, total, 32):
            rows = range(start, min(start + 32, total))
            batch = [segment(sounds, length, generator, mixed=row >= num_alone) for row in rows]
            waveforms = torch.from_numpy(np.stack(batch))
            pictures[rows.start : rows.stop] = log_mel(waveforms).half().numpy()
            wide = resample(waveforms, SIGNAL.sample_rate_hz, SAMPLE_RATE_HZ)
            logits[rows.start : rows.stop] = teacher.logits(wide).half().numpy()
            if start % 1600 == 0:
                print(f"{name}: {start} of {total}, {time.strftime('%H:%M:%S')}", flush=True)
    write_json(cache / "cache.json", {"sounds": len(sounds), "teacher": teacher.fingerprint, **counts})


def segment(sounds, length, generator, *, mixed):  # type: ignore[no-untyped-def]
    """Cut a random segment, or add two, in a fifth of the cases three, at −10 … +10 dB; the level is −20 dBFS."""
    total = np.zeros(length, np.float32)
    for _ in range((3 if generator.random() < 0.2 else 2) if mixed else 1):
        gain = np.float32(10 ** (generator.uniform(-10, 10) / 20))
        total += gain * _levelled(_random_segment(sounds, length, generator))
    return _levelled(total)


def _random_segment(sounds, length, generator):  # type: ignore[no-untyped-def]
    sound = sounds[generator.integers(len(sounds))]
    return _cut(sound, int(generator.integers(max(1, len(sound) - length + 1))), length)


def _cut(sound, start, length):  # type: ignore[no-untyped-def]
    """Cut a segment; a sound that is too short is repeated."""
    return np.resize(sound, length) if len(sound) < length else sound[start : start + length]


def _levelled(sound):  # type: ignore[no-untyped-def]
    return (sound * gain_to(sound, -20.0)).astype(np.float32)


def train(cache: Path, num_steps: int, rate: float, seed: int) -> AudioTowerNetwork:
    """Train for `num_steps` batches, from CACHE/state.pt if it is there; every fortieth segment only judges."""
    torch.manual_seed(seed)
    pictures = {name: np.load(cache / f"{name}_mel.npy", mmap_mode="r") for name in LENGTHS}
    targets = {name: torch.from_numpy(np.load(cache / f"{name}_logits.npy")).float() for name in LENGTHS}
    mean, deviation = targets["long"].mean(dim=0), targets["long"].std(dim=0)
    network = AudioTowerNetwork().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
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
        picture = torch.from_numpy(pictures[name][rows]).float()
        picture += torch.from_numpy(generator.uniform(-0.4, 0.4, (len(rows), 1, 1)).astype(np.float32))
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
    with torch.no_grad():
        network.classes.weight *= deviation[:, None]
        network.classes.bias.copy_(network.classes.bias * deviation + mean)
    return network.eval()


def distance(network, picture, target, mean, deviation):  # type: ignore[no-untyped-def]
    """Mean squared difference of the standardised logits, weighted by 1 + 10 σ(logit + 2) of the teacher."""
    with torch.autocast("cpu", torch.bfloat16):
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


if __name__ == "__main__":
    main()
