"""CSV tables, lists and JSON files that commands read: clips, pairs, scores, labels, answers, metadata, reports."""

import json
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from random import Random

from benchmarks.fuzz.kinds import stores
from benchmarks.fuzz.mutations import mutated_bytes, mutated_json, mutated_table
from trisep.datasets import list_clips
from trisep.errors import ConfigError
from trisep.evaluation.compare import compare
from trisep.evaluation.journal import COLUMNS, Journal
from trisep.listening.clips import clips_from_table
from trisep.listening.score import score_test
from trisep.media.audio_writer import write_audio
from trisep.protocols.avmini import mixtures
from trisep.protocols.pair_files import read_pairs
from trisep.recipes import recipe
from trisep.separation.batch import separate_batch
from trisep.separation.owner import earlier_files
from trisep.store.inputs import read_clip_lists, read_exclusions
from trisep.store.read import ClipStore
from trisep.training.queries import read_labels, read_optional_column
from trisep.training.run_folder import RunFolder, TrainingLog
from trisep.types import Audio

_ID = "abcdefghij"
_REPORT = {
    "schema": 1,
    "input": "a.wav",
    "stems": [{"query": "dog", "file": "dog.wav"}],
    "residual": "residual.wav",
    "without": None,
    "videos": {"files": {"dog": "dog.mp4"}},
}


def prepare(folder: Path) -> None:
    """Write one good file of each form, and the sounds that some of them name."""
    import numpy as np

    for name in ("a.wav", "b.wav"):
        write_audio(folder / name, Audio(np.full((1, 800), 0.1, np.float32), 8000), subtype="wav_float32")
    texts = {
        "manifest.csv": ["path,split,label,query,recording_id,start_seconds,end_seconds"]
        + [f"{'ab'[n % 2]}.wav,dev,{'dog' if n % 2 else 'cat'},a dog,r{n},0.0,{n + 1}.5" for n in range(6)],
        "pairs.csv": [
            "path_1,label_1,gain_db_1,start_1,x_1,y_1,path_2,label_2,start_seconds_2,end_seconds_2,interference"
        ]
        + ["a.wav,dog,0.0,0.5,0.5,0.5,b.wav,cat,0,1.5,"] * 3,
        "list.csv": ["key,source,start_seconds,end_seconds,sha256", "a,a.wav,,,0", "b,b.wav,0.5,1.5,0"],
        "labels.csv": ["path,label,domain"] + [f"{n}.mp4,dog,x" for n in range(4)],
        "samples.csv": ["model,query_kind,file,label_a,label_b", "m,text,a.wav,dog,cat", "m,image,b.wav,cat,dog"],
        "key.csv": [
            "sample,model,query_kind,label_a,label_b,file",
            "s1,m,text,dog,cat,a.wav",
            "s2,m,text,cat,dog,b.wav",
        ],
        "answers.csv": ["rater,sample,answer,seconds", "me,s1,dog,3.5", "me,s2,both,2"],
        "scores.csv": [",".join(COLUMNS)] + [_score(number, source) for number in range(5) for source in (0, 1)],
        "vggsound.csv": [f"{_ID}{n},{n},dog barking,{'train' if n % 2 else 'test'}" for n in range(4)],
        "esc50.csv": ["filename,fold,target,category,esc10,src_file,take"]
        + [f"{n}.wav,{1 + n},0,dog,True,1,A" for n in range(4)],
        "exclude.txt": ["# comment", "a.wav", "0" * 64 + "  b.wav"],
    }
    for name, lines in texts.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    values = {
        "music.json": {"version": 1.0, "videos": {"flute": [_ID + "1", _ID + "2"], "flute violin": [_ID + "3"]}},
        "solos.json": {"Flute": [_ID + "1"], "Violin": [_ID + "2"]},
        "exclude.json": ["a.wav", "0" * 64],
        "report.json": _REPORT,
        "batch.json": {"schema": 1, "done": 1, "skipped": 0, "inputs": []},
        "recipe.json": json.loads(json.dumps({"name": "hfra", "training": {"num_steps": 3}})),
        "scores.json": {"protocol": "avmini", "seed": 0, "query": "text"},
        "scores.partial.json": {"protocol": "avmini", "seed": 0},
    }
    for name, value in values.items():
        (folder / name).write_text(json.dumps(value))
    (folder / "log.jsonl").write_text(
        "".join(json.dumps({"step": n, "loss": 0.5, "si_sdri": 1.0}) + "\n" for n in range(4))
    )
    stores.prepare(folder)


def _score(mixture: int, source: int) -> str:
    """Return one row of a score table; texts and numbers that are all different."""
    return ",".join(
        {"mixture": str(mixture), "source": str(source), "skipped": "", "system": "m", "label": "dog"}.get(
            name, f"{mixture}.{source}"
        )
        for name in COLUMNS
    )


def attempt(generator: Random, examples: Path, folder: Path) -> None:
    """Change one file, and give it to what reads it."""
    name, read = generator.choice(sorted(_READERS.items()))
    for path in examples.iterdir():
        if path.is_file():
            shutil.copyfile(path, folder / path.name)
    path = folder / name
    text = path.read_text()
    if name.endswith(".json"):
        path.write_text(mutated_json(generator, json.loads(text)), errors="surrogatepass")
    elif name.endswith(".jsonl"):
        lines = text.splitlines()
        lines[generator.randrange(len(lines))] = mutated_json(generator, json.loads(lines[0]))
        path.write_text("\n".join(lines) + "\n", errors="surrogatepass")
    elif generator.random() < 0.9:
        path.write_bytes(mutated_table(generator, text))
    else:
        path.write_bytes(mutated_bytes(generator, path.read_bytes()))
    read(path, examples)


def _log(path: Path, examples: Path) -> None:
    run = path.parent / "run"
    run.mkdir()
    shutil.copyfile(path, run / "log.jsonl")
    tiny = recipe("hfra").tiny()
    TrainingLog(RunFolder(run, tiny, is_main=True), tiny, 3, is_main=True)


def _recipe(path: Path, examples: Path) -> None:
    run = path.parent / "run"
    (run / "states" / "step-0000001").mkdir(parents=True)
    shutil.copyfile(path, run / "recipe.json")
    RunFolder(run, recipe("hfra").tiny(), is_main=True)


def _journal(path: Path, examples: Path) -> None:
    lines = (path.parent / "scores.csv").read_text()
    (path.parent / "scores.partial.csv").write_text(lines)
    Journal(path.parent, "scores", settings={"protocol": "avmini", "seed": 0}, rows_per_mixture=2)


def _batch(path: Path, examples: Path) -> None:
    def refuse(*_: object) -> dict[str, object]:
        raise ConfigError("nothing is separated here")

    separate_batch([path.parent / "a.wav", path.parent / "b.wav"], path.parent, refuse)


def _labels(path: Path, examples: Path) -> None:
    store = ClipStore(examples / "finished")
    read_labels(path, store)
    read_optional_column(path, "domain", store)


def _data_set(name: str) -> Callable[[Path, Path], None]:
    def read(path: Path, examples: Path) -> None:
        list_clips(name, [path], path.parent)

    return read


_READERS: dict[str, Callable[[Path, Path], object]] = {
    "manifest.csv": lambda path, _: list(islice(mixtures(path.parent), 5)),
    "pairs.csv": lambda path, _: list(read_pairs(path, folder=path.parent)),
    "list.csv": lambda path, _: read_clip_lists(path.parent, [path]),
    "labels.csv": _labels,
    "samples.csv": lambda path, _: clips_from_table(path),
    "key.csv": lambda path, _: score_test([path.parent / "answers.csv"], path),
    "answers.csv": lambda path, _: score_test([path], path.parent / "key.csv"),
    "scores.csv": lambda path, examples: compare(path, examples / "scores.csv"),
    "scores.json": lambda path, examples: compare(path.with_suffix(".csv"), examples / "scores.csv"),
    "scores.partial.json": _journal,
    "exclude.txt": lambda path, _: read_exclusions(path),
    "exclude.json": lambda path, _: read_exclusions(path),
    "music.json": _data_set("music"),
    "solos.json": _data_set("solos"),
    "vggsound.csv": _data_set("vggsound"),
    "esc50.csv": _data_set("esc50"),
    "report.json": lambda path, _: earlier_files(path.parent, ["dog.wav"], path.parent / "a.wav"),
    "batch.json": _batch,
    "recipe.json": _recipe,
    "log.jsonl": _log,
}
