"""Command lines of every verb but `web` and `doctor`: good ones, with words replaced, removed, doubled and moved."""

import shutil
from dataclasses import asdict
from pathlib import Path
from random import Random

from PIL import Image

from benchmarks.fuzz.kinds import run_command, tables
from benchmarks.fuzz.mutations import WORDS
from trisep.checkpoints.format import save_model
from trisep.models.clipsep import Config
from trisep.types import SignalSettings

_LINES = (
    "models --json",
    "info default",
    "info model --json",
    "tag videos/0.mp4 --number 3",
    "tag a.wav --json --stream 0",
    "separate a.wav dog cat --out stems --format flac --subtype int16 --remove",
    "separate videos/0.mp4 --region 0.25,0.5 --box 1px,2px,3px,4px,0.1",
    "separate videos/0.mp4 dog --into-video --audio-bitrate 64k --format m4a --threshold 0.5 --segment 4 --no-residual",
    "separate a.wav --like b.wav --when 0.0-0.05 --not cat --start 0.01 --duration 0.05 --quiet",
    "separate videos dog --out many --also a.wav --json",
    "separate videos/0.mp4 --image photo.png --video videos/1.mp4 --all-of --precision fp32 --no-exclusive",
    "localize videos/0.mp4 dog --out heat.mp4 --fps 2 --temperature 0.1 --by text --arrays",
    "localize videos/0.mp4 dog --out heat --by audio",
    "prepare videos --out store2 --fps 2 --sample-rate-hz 8000 --max-seconds 3 --workers 1 --exclude exclude.txt",
    "prepare videos --out finished --workers 1",
    "prepare . --out store3 --clips list.csv --workers 1",
    "embed finished --encoder lite --no-regions --captions --tokens 2 --seed 1 --nearest-words 1",
    "embed finished --encoder clip-vit-b32 --overwrite",
    "store check finished",
    "data status folder --media videos --out lists --min-seconds 0.1 --silence-db -50 --workers 1 --json",
    "data status music --media videos --metadata music.json --rule fifth",
    "train hfra-avmini --data nowhere --out run --set training.num_steps=1 --seed 3",
    "evaluate default --data nowhere --protocol avmini --limit 1 --workers 1 --masks soft --baseline nmf-mfcc",
    "evaluate --data nowhere --baseline random-mask --pairs pairs.csv --media . --query image --skip-missing",
    "compare scores.csv scores.csv --metric sdri --system-a m --system-b m --out comparison --seed 1",
    "listening-test build --samples samples.csv --out test --seed 1",
    "listening-test score answers.csv --key key.csv --seed 1",
    "listening-test build --model default=text --data nowhere --out test --count 2",
    "analyze gap default --data nowhere --out gap --frames 1 --limit 2",
    "analyze fusion scores.csv scores.csv --out fusion --metric sdri",
    "import model/model.safetensors --as clipsep --out imported --encoder lite",
    "import legacy.pth --as sound-of-pixels --out imported",
    "--help",
    "--version",
    "separate --help",
)
_PLACES = tuple(
    "a.wav photo.png videos finished interrupted model scores.csv nowhere empty void list.csv music.json".split()
)


def prepare(folder: Path) -> None:
    """Write everything that the command lines name."""
    tables.prepare(folder)
    card = {
        "signal": asdict(SignalSettings()),
        "encoder": "lite",
        "encoder_fingerprint": "0",
        "recipe": {"name": "hfra"},
    }
    save_model(folder / "model", Config.tiny().build(), model_name="clipsep", card=card)
    Image.new("RGB", (40, 30), (90, 20, 60)).save(folder / "photo.png")
    (folder / "empty").touch()
    (folder / "void").mkdir()


def attempt(generator: Random, examples: Path, folder: Path) -> None:
    """Run one line in a copy of the examples."""
    shutil.copytree(examples, folder, dirs_exist_ok=True)
    words = generator.choice(_LINES).split()
    for _ in range(generator.choice((0, 1, 1, 2, 3))):
        words = _changed(generator, words)
    run_command(*words)


def _changed(generator: Random, words: list[str]) -> list[str]:
    """Change one word."""
    words = list(words) or ["separate"]
    place = generator.randrange(len(words))
    kind = generator.randrange(6)
    if kind <= 2:
        words[place] = generator.choice(WORDS if kind else _PLACES)
    elif kind == 3:
        del words[place]
    elif kind == 4:
        words.insert(place, generator.choice((*WORDS, *_PLACES, words[place], generator.choice(_LINES).split()[-1])))
    else:
        words.append(words.pop(place))
    return ["nowhere" if word == "web" else word for word in words]
