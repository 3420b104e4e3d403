"""The road from MUSIC's published lists to a score, walked on ten made-up videos by the commands that the docs print.

    python benchmarks/music_walk.py [--small] [--steps 1] [--batch N] [--only clipsep|vast] [--folder DIR]

Six solos of two classes and four duets, each a tone and a moving picture; CLIPs of random weights in OpenAI's layout.
The recipes `clipsep`, `clipsep-text` and `vast` are the papers' but for the number of steps (and, to fit a CPU, the
number of mixtures at once). A step of `vast` decodes 4704 regions, which takes a CPU most of an hour; --batch makes its
mixtures fewer. With --small networks, batches and CLIPs are small, too: so the tests walk it. The scores mean nothing;
that there are some is the point.
"""

import argparse
import json
import os
import shlex
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from trisep.cli import main as trisep
from trisep.encoders.clip_files import PLACE_VARIABLE
from trisep.encoders.clip_towers import CLIPNetwork, ModifiedResNet, VisionTransformer
from trisep.media.video_writer import write_video
from trisep.types import Audio

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from tiny_clip import VOCABULARY, save_script_archive, save_vocabulary

SOLOS = {name: [f"{name}_{'x' * (9 - len(name))}{take}" for take in range(3)] for name in ("violin", "tuba")}
DUETS = {
    name: [f"duet_{code}_{take}" for take in range(2)]
    for name, code in (("violin tuba", "vivi"), ("tuba violin", "tutu"))
}
"""By the papers' rule the first video of a class is for validation and the second for testing."""
SMALL = ("model.unet.base_width=4", "model.unet.max_width=8", "training.accumulation_steps=1", "training.batch_size=2")
RATE_HZ, SECONDS, FPS = 16000, 9, 4


def write_videos(folder: Path) -> None:
    """Ten videos with their lists beside them; a class has a pitch of its own, a video its colours and vibrato."""
    (folder / "videos").mkdir()
    pitches_hz = {"violin": 660.0, "tuba": 82.0}
    for number, (name, ids) in enumerate((SOLOS | DUETS).items()):
        for take, video in enumerate(ids):
            times = np.arange(SECONDS * RATE_HZ) / RATE_HZ
            tones = [np.sin(2 * np.pi * (pitches_hz[part] + 3 * take) * times) for part in name.split()]
            sound = np.float32(0.1) * np.sum(tones, axis=0, dtype=np.float32)[None]
            frames = np.random.default_rng((number, take)).integers(0, 256, (SECONDS * FPS, 6, 8, 3), dtype=np.uint8)
            pictures = [frame.repeat(16, axis=0).repeat(16, axis=1) for frame in frames]
            write_video(folder / "videos" / f"{video}.mp4", pictures, fps=FPS, audio=Audio(sound, RATE_HZ))
    for file, videos in (("MUSIC_solo_videos.json", SOLOS), ("MUSIC_duet_videos.json", DUETS)):
        (folder / file).write_text(json.dumps({"version": 1.0, "videos": videos}), encoding="utf-8")


def write_clips(folder: Path, *, small: bool) -> None:
    """CLIP RN50 and ViT-B/32 of random weights, in their published sizes but for the vocabulary, or thin."""
    folder.mkdir()
    for kind, file in (("resnet", "RN50.pt"), ("transformer", "ViT-B-32.pt")):
        save_script_archive(random_state(kind, small=small), folder / file)
    save_vocabulary(folder, "openai")


def random_state(kind: str, *, small: bool) -> dict[str, torch.Tensor]:
    """The state of a network as torch draws it, of the published dimension and grid; thinner where `small`."""
    torch.manual_seed(0)
    visual: ModifiedResNet | VisionTransformer
    if kind == "resnet":
        blocks, width, heads, dim = ((1, 1, 1, 1), 8, 4, 1024) if small else ((3, 4, 6, 3), 64, 32, 1024)
        visual = ModifiedResNet(num_blocks=blocks, width=width, grid=7, num_heads=heads, embedding_dim=dim)
    else:
        width, layers, dim = (64, 2, 512) if small else (768, 12, 512)
        visual = VisionTransformer(
            patch=32, grid=7, width=width, num_layers=layers, num_heads=width // 64, embedding_dim=dim, quick_gelu=True
        )
    text = {"width": 64, "num_layers": 2, "num_heads": 1} if small else {"width": 512, "num_layers": 12, "num_heads": 8}
    network = CLIPNetwork(visual, vocabulary=VOCABULARY, context=77, embedding_dim=dim, quick_gelu=True, **text)
    for name, value in network.state_dict().items():
        if value.is_floating_point() and "running_" not in name and "bn" not in name:
            value.normal_(std=0.05)
    return {**network.state_dict(), "logit_scale": torch.tensor(4.6)}


def call(command: str) -> None:
    """Print a command and run it; SystemExit where it does not end well."""
    print(f"$ {command}", flush=True)
    if code := trisep(shlex.split(command)[1:]):
        raise SystemExit(code)


def walk(folder: Path, *, steps: int, small: bool, batch: int | None = None, only: str = "") -> None:
    """Make the files, then go from the lists to the scores, of one paper where `only` names it."""
    write_videos(folder)
    write_clips(folder / "clip", small=small)
    os.environ[PLACE_VARIABLE] = str(folder / "clip")
    os.chdir(folder)
    fit = " ".join(f"--set {one}" for one in SMALL) if small else "--set training.accumulation_steps=16"
    if batch:
        fit += f" --set training.batch_size={batch} --set training.accumulation_steps={batch}"
    short = f"--set training.num_steps={steps} --set training.num_validation_mixtures=1 {fit} --device cpu --workers 0"
    lists = "--metadata MUSIC_solo_videos.json MUSIC_duet_videos.json --media videos --out lists --workers 1"
    scored = "--data lists --media videos --workers 1"
    call(f"trisep data status music {lists}")
    if only != "vast":
        call("trisep prepare videos --clips lists/train.csv --out store16 --workers 1")
        call("trisep embed store16 --encoder clip-vit-b32")
        call(f"trisep train clipsep --data store16 --out clipsep {short}")
        call(f"trisep evaluate clipsep/model {scored} --protocol clipsep-music --query image --out scores/clipsep")
        call(f"trisep train clipsep-text --data store16 --labels lists --init clipsep/model --out clipsep-text {short}")
        call(f"trisep evaluate clipsep-text/model {scored} --protocol clipsep-music --out scores/clipsep-text")
    if only != "clipsep":
        call("trisep prepare videos --clips lists/train.csv --sample-rate-hz 11025 --out store11 --workers 1")
        call("trisep embed store11 --encoder clip-rn50 --captions")
        call(f"trisep train vast --data store11 --out vast {short}")
        call(f"trisep evaluate vast/model {scored} --protocol vast --query video --out scores/vast")
        call(f"trisep evaluate vast/model {scored} --protocol vast --query boxes --out scores/vast-boxes")
        call(f"trisep evaluate vast/model {scored} --protocol duets --query video --out scores/duets")


def main(arguments: list[str] | None = None) -> None:
    """Walk in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="small networks, batches and CLIPs")
    parser.add_argument("--steps", type=int, default=1, help="steps of training (default: 1)")
    parser.add_argument("--batch", type=int, help="mixtures of a step, one at a time (default: the recipe's)")
    parser.add_argument("--only", choices=("clipsep", "vast"), default="", help="walk for one paper alone")
    parser.add_argument("--folder", type=Path, help="an empty folder to work in (default: a temporary one)")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        walk(folder.resolve(), steps=chosen.steps, small=chosen.small, batch=chosen.batch, only=chosen.only)


if __name__ == "__main__":
    main()
