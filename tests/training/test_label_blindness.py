"""No recipe that declares `supervision = "none"` can see a label: all labels near the data are shuffled, and nothing
changes.

Labels stand in the names of the videos and of their folders, in lists among the videos, and in a list beside the store.
That lists alone change no byte of a store is shown in test_training_data.py. So that none of this passes for want of an
effect, recipes that learn from labels are put to the same shuffle, and change.
"""

import csv
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from clip_folders import write_folder
from training_stores import Loudness, Words, embed_with_noise, on_this_machine, tensor_hashes

import trisep.training.data
from trisep.cli import main
from trisep.errors import ConfigError
from trisep.recipes import Recipe, override, recipe, recipe_names
from trisep.store.prepare import PrepareSettings, prepare
from trisep.store.read import ClipStore
from trisep.training.data import MixtureDataset
from trisep.training.loop import TrainSettings, train

UNSUPERVISED = [name for name in recipe_names() if recipe(name).supervision == "none"]
CHOSEN = (
    "audioscope",
    "avsgs",
    "clipsep",
    "clipsep-middle",
    "clipsep-nit",
    "clipsep-pit",
    "clipsep-sop",
    "co-separation",
    "hfra",
    "mp-net",
    "resunet-decouple",
    "vast",
    "wave-u-net",
)
"""One of each model that must not go missing; of any other model it is the first recipe by name."""
ONE_OF_EACH_MODEL = tuple({type(recipe(name).model): name for name in (*reversed(UNSUPERVISED), *CHOSEN)}.values())
BY_LABELS = ("clipsep-text", "clipsep-labelsep")
LABELS = ("violin", "violin", "tuba", "harp", "tuba")
SHUFFLED = ("tuba", "harp", "violin", "tuba", "violin")


@dataclass(frozen=True, slots=True)
class Corpus:
    """Videos with their labels all around them, and the store that was prepared from them."""

    folder: Path
    store: Path
    labels: Path


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, Corpus]:
    """The same videos twice, with the labels shuffled."""
    videos = sorted(write_folder(tmp_path_factory.mktemp("plain"), len(LABELS)).rglob("*.mp4"))
    return _corpus(tmp_path_factory.mktemp("a"), videos, LABELS), _corpus(
        tmp_path_factory.mktemp("b"), videos, SHUFFLED
    )


def _corpus(folder: Path, videos: list[Path], labels: tuple[str, ...]) -> Corpus:
    # Names decide the order of a store's clips, and nothing else: each begins with its clip's number, so that the order
    # stays.
    named = [f"{number}-{label}/{label}.mp4" for number, label in enumerate(labels)]
    for video, name in zip(videos, named, strict=True):
        (folder / "videos" / name).parent.mkdir(parents=True)
        shutil.copy(video, folder / "videos" / name)
    for file in (folder / "videos" / "manifest.csv", folder / "videos" / "labels.csv", folder / "labels.csv"):
        with file.open("w", newline="") as stream:
            csv.writer(stream).writerows([("path", "label"), *zip(named, labels, strict=True)])
    prepare(folder / "videos", folder / "store", PrepareSettings(short_side=32, num_workers=1))
    return Corpus(folder, embed_with_noise(folder / "store"), folder / "labels.csv")


@pytest.fixture(autouse=True)
def no_weights_and_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stores are embedded with noise; words and teachers are stand-ins, too. Nobody looks at the figures."""
    monkeypatch.setattr("trisep.training.queries.load_encoder", lambda name: Words())
    monkeypatch.setattr("trisep.training.data.load_teacher", lambda name: Loudness())
    monkeypatch.setattr("trisep.training.run_folder.draw_training", lambda entries, path: None)


_listeners: list[list[Path]] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    """Note what is opened or listed while anyone listens; an audit hook cannot be taken off again."""
    if (
        _listeners
        and event in ("open", "os.listdir", "os.scandir")
        and isinstance(arguments[0], str | bytes | os.PathLike)
    ):
        _listeners[-1].append(Path(os.fsdecode(arguments[0])).absolute())


sys.addaudithook(_hear)


@pytest.fixture
def opened() -> Iterator[list[Path]]:
    """The files and folders that were opened so far in the test."""
    _listeners.append([])
    yield _listeners[-1]
    _listeners.pop()


def _near(corpus: Corpus, opened: list[Path]) -> set[Path]:
    """What was opened of the corpus outside its store."""
    return {path for path in opened if path.is_relative_to(corpus.folder) and not path.is_relative_to(corpus.store)}


def _run(name: str, corpus: Corpus, out: Path, labels: Path | None = None) -> dict[str, Any]:
    """Train the tiny recipe; returns a hash of every tensor it leaves, and the values of its log, times apart."""
    tiny = on_this_machine(recipe(name).tiny())
    tiny = replace(tiny, training=replace(tiny.training, checkpoint_steps=2, num_validation_mixtures=1))
    if name == "vast":
        tiny = override(tiny, ("model.region_grid=2",))  # a quarter of a second instead of seconds
    train(tiny, TrainSettings(data=corpus.store, out=out, labels=labels, cpu=True, num_workers=0))
    entries = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    values = [{key: value for key, value in entry.items() if not key.endswith("_seconds")} for entry in entries]
    assert [entry["step"] for entry in values] == [2, 2] and "loss" in values[0] and "si_sdri" in values[1]
    hashes = tensor_hashes(out)
    states = {name: _blind(json.loads((out / name).read_text())) for name in hashes if name.endswith("/state.json")}
    assert states
    return hashes | states | {"log": values}


def _blind(state: dict[str, Any]) -> dict[str, Any]:
    """A state without the hash of the store's clips, by which a run knows its store again, names of files included."""
    material = {option: found and {**found, "clips": ""} for option, found in state["material"].items()}
    return {**state, "material": material}


def _samples(
    whole: Recipe, corpus: Corpus, labels: Path | None = None, *, count: int = 2
) -> list[dict[str, torch.Tensor]]:
    store = ClipStore(corpus.store)
    dataset = MixtureDataset(store, whole, seed=3, offscreen=store, labels=labels)
    vocabulary = dataset.vocabulary(0)
    return [dataset[index] for index in range(count)] + ([] if vocabulary is None else [{"vocabulary": vocabulary}])


def _equal(first: list[dict[str, torch.Tensor]], second: list[dict[str, torch.Tensor]]) -> bool:
    return len(first) == len(second) and all(
        one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
        for one, other in zip(first, second, strict=True)
    )


def test_what_is_covered() -> None:
    assert set(CHOSEN) <= set(ONE_OF_EACH_MODEL) <= set(UNSUPERVISED)
    assert sorted(LABELS) == sorted(SHUFFLED) and all(one != other for one, other in zip(LABELS, SHUFFLED, strict=True))
    assert all(recipe(name).supervision == "labels" for name in BY_LABELS)


@pytest.mark.parametrize("name", UNSUPERVISED)
def test_its_samples_stay_the_same_and_come_from_the_store_alone(
    name: str, corpora: tuple[Corpus, Corpus], opened: list[Path]
) -> None:
    tiny = on_this_machine(recipe(name).tiny())
    samples = [_samples(tiny, corpus) for corpus in corpora]
    assert _equal(*samples)
    assert not _equal(samples[0][:1], samples[0][1:2])  # another sample is not the same
    for corpus in corpora:
        assert any(path.is_relative_to(corpus.store) for path in opened) and not _near(corpus, opened)


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_OF_EACH_MODEL)
def test_its_training_is_the_same_to_the_bit(
    name: str, corpora: tuple[Corpus, Corpus], tmp_path: Path, opened: list[Path]
) -> None:
    runs = [_run(name, corpus, tmp_path / str(number)) for number, corpus in enumerate(corpora)]
    assert runs[0] == runs[1] and len(runs[0]) > 10
    assert not _near(corpora[0], opened) and not _near(corpora[1], opened)


@pytest.mark.parametrize("name", BY_LABELS)
def test_the_same_shuffle_changes_a_recipe_that_learns_from_labels(
    name: str, corpora: tuple[Corpus, Corpus], tmp_path: Path, opened: list[Path]
) -> None:
    runs = [_run(name, corpus, tmp_path / str(number), corpus.labels) for number, corpus in enumerate(corpora)]
    assert runs[0]["log"][0]["loss"] != runs[1]["log"][0]["loss"]
    changed = {key for key, value in runs[0].items() if key.startswith("model/") and value != runs[1][key]}
    assert changed
    assert [_near(corpus, opened) for corpus in corpora] == [{corpus.labels} for corpus in corpora]


@pytest.mark.parametrize("name", UNSUPERVISED)
def test_it_takes_no_labels(name: str, corpora: tuple[Corpus, Corpus], tmp_path: Path, opened: list[Path]) -> None:
    with pytest.raises(
        ConfigError,
        match=f"--labels: the recipe {name} learns without labels and must not see any; leave the option out",
    ):
        _run(name, corpora[0], tmp_path / "run", corpora[0].labels)
    assert not _near(corpora[0], opened)


def test_the_command_line_takes_no_labels_either(
    corpora: tuple[Corpus, Corpus], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = corpora[0]
    words = [
        "--data",
        str(corpus.store),
        "--labels",
        str(corpus.labels),
        "--out",
        str(tmp_path / "run"),
        "--device",
        "cpu",
    ]
    assert main(["train", "clipsep-avmini", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("trisep: error: --labels: the recipe clipsep-avmini learns without labels")


@pytest.mark.parametrize("name", ["clipsep", "vast-avmini", "clipsep-text"])
def test_which_clips_are_mixed_depends_on_their_number_alone(
    name: str, corpora: tuple[Corpus, Corpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[Any, Any]] = []
    draw = trisep.training.data.draw_mixture

    def spy(*given: Any) -> Any:
        choice = draw(*given)
        assert given[3] is None, "clips are drawn by their labels"
        drawn.append((given[:2], choice))
        return choice

    monkeypatch.setattr(trisep.training.data, "draw_mixture", spy)
    tiny = on_this_machine(recipe(name).tiny())
    for corpus in corpora:
        _samples(tiny, corpus, corpus.labels if tiny.supervision == "labels" else None, count=12)
    # Also where words are asked with, only the words differ.
    assert drawn[:12] == drawn[12:] and {given for given, _ in drawn} == {(len(LABELS), tiny.mixing)}
    same = [LABELS[choice.clips[0]] == LABELS[choice.clips[1]] for _, choice in drawn[:12]]
    assert any(same) and not all(same)


def test_a_model_of_labels_is_given_other_numbers(corpora: tuple[Corpus, Corpus]) -> None:
    tiny = on_this_machine(recipe("clipsep-labelsep").tiny())
    tiny = replace(tiny, mixing=replace(tiny.mixing, interference_probability=0.0))
    first, second = (_samples(tiny, corpus, corpus.labels) for corpus in corpora)
    assert all(torch.equal(one["sources"], other["sources"]) for one, other in zip(first, second, strict=True))
    assert not all(torch.equal(one["label_ids"], other["label_ids"]) for one, other in zip(first, second, strict=True))
