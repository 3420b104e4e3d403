"""The contract that every recipe keeps. A new one is covered by itself; COVERED names those that must
not go missing.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from training_stores import Loudness, Words, make_store, on_this_machine, write_labels

from trisep.checkpoints.format import load_model
from trisep.errors import ConfigError
from trisep.mixing.mixture import MixingConfig
from trisep.models import model_names
from trisep.recipes import Recipe, TrainingConfig, override, recipe, recipe_names
from trisep.training.loop import TrainSettings, train

COVERED = [
    "audioscope",
    "audioscope-avmini",
    "avsgs",
    "avsgs-avmini",
    "clipsep",
    "clipsep-avmini",
    "clipsep-bertsep",
    "clipsep-esc50",
    "clipsep-hybrid",
    "clipsep-labelsep",
    "clipsep-labelsep-vggsound",
    "clipsep-middle",
    "clipsep-nit",
    "clipsep-pit",
    "clipsep-pit-vggsound",
    "clipsep-sop",
    "clipsep-sop-vggsound",
    "clipsep-text",
    "clipsep-text-vggsound",
    "clipsep-vggsound",
    "co-separation",
    "co-separation-avmini",
    "hfra",
    "hfra-hierarchical",
    "hfra-late",
    "hfra-late-aligned",
    "hfra-middle",
    "hfra-music21",
    "hfra-vggsound",
    "hfra-words-avmini",
    "mixit",
    "kilgour",
    "kilgour-avmini",
    "mixit-avmini",
    "mp-net",
    "mp-net-avmini",
    "resunet-decouple",
    "resunet-decouple-avmini",
    "sgn",
    "sgn-avmini",
    "mixit-queried",
    "mixit-queried-avmini",
    "sound-filter",
    "sound-filter-avmini",
    "vast",
    "vast-av-mix",
    "vast-avmini",
    "vast-plain-tile",
    "vast-sop-clip",
    "wave-u-net",
    "wave-u-net-avmini",
    "wave-u-net-queried",
    "wave-u-net-queried-avmini",
]


@pytest.fixture(params=recipe_names())
def whole(request: pytest.FixtureRequest) -> Recipe:
    return recipe(str(request.param))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("recipes"))


@pytest.fixture(scope="module")
def labels(store: Path) -> Path:
    return write_labels(store, store.parent / "labels.csv")


@pytest.fixture(autouse=True)
def encoders_that_need_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is embedded with noise; words and teachers are stand-ins, too."""
    monkeypatch.setattr("trisep.training.queries.load_encoder", lambda name: Words())
    monkeypatch.setattr("trisep.training.data.load_teacher", lambda name: Loudness())


def test_no_recipe_has_gone_missing() -> None:
    assert set(recipe_names()) >= set(COVERED)


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown recipe 'clipzep': expected one of .*clipsep, clipsep-avmini"):
        recipe("clipzep")


def test_it_is_frozen_all_the_way_down_and_complete(whole: Recipe) -> None:
    def check(config: object) -> None:
        for field in dataclasses.fields(config):  # type: ignore[arg-type]
            value = getattr(config, field.name)
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(config, field.name, value)
            if dataclasses.is_dataclass(value):
                check(value)

    check(whole)
    assert whole == recipe(whole.name)
    assert whole.name in recipe_names() and whole.citation and whole.protocol
    assert whole.supervision == (
        "labels" if whole.query in ("text", "hybrid", "mixed", "label", "sound_text") else "none"
    )
    assert (
        (whole.teacher is not None)
        == ("teacher" in whole.loss.needs)
        == (getattr(whole.model, "teacher_dim", None) is not None)
    )
    assert type(whole.model).__module__.rsplit(".", 1)[-1] in model_names()
    assert json.loads(json.dumps(dataclasses.asdict(whole)))["name"] == whole.name


def test_its_clips_fit_the_network(whole: Recipe) -> None:
    for one in (whole, whole.tiny()):
        num_frames = 1 + one.signal.clip_samples // one.signal.hop_samples
        assert num_frames % one.model.unet.time_multiple == 0
    assert whole.tiny().signal.clip_samples > 2 * whole.tiny().model.build().contract.context_samples


@pytest.mark.slow
def test_the_tiny_one_trains_two_steps(whole: Recipe, store: Path, labels: Path, tmp_path: Path) -> None:
    tiny = on_this_machine(whole.tiny())
    steps: list[int] = []
    given = labels if whole.supervision == "labels" else None
    settings = TrainSettings(data=store, out=tmp_path / "run", labels=given, cpu=True, num_workers=0)
    model = train(tiny, settings, on_step=steps.append)
    assert steps == [1, 2]
    loaded = load_model(model)
    assert (loaded.card["step"], loaded.card["recipe"]["name"], loaded.signal) == (2, whole.name, tiny.signal)
    entries = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries if "loss" in entry] == [2]
    assert ("noise_activation" in entries[-2]) == whole.name.startswith(("clipsep-nit", "mixit-queried"))
    assert ("teacher_cosine" in entries[-2]) == (whole.teacher is not None)
    assert tuple(loaded.card.get("labels", ())) == (("harp", "tuba", "violin") if whole.query == "label" else ())
    assert loaded.card.get("teacher_fingerprint") == ("loud" if whole.teacher else None)
    assert (tmp_path / "run" / "training.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("training.num_steps=7", 7),
        ("optimizer.learning_rate=3e-4", 3e-4),
        ("optimizer.decay=cosine", "cosine"),
        ("signal.mixture_level_db=-23", -23.0),
        ("mixing.num_absent_queries=1", 1),
        ("mixing.equalize_levels=false", False),
        ("mixing.source_gain_db=-3, 3", (-3.0, 3.0)),
        ("optimizer.betas=(0.5,0.9)", (0.5, 0.9)),
        ("model.unet.bottleneck_width=16", 16),
        ("model.unet.bottleneck_width=none", None),
        ("name=ours", "ours"),
        ("name=a=b", "a=b"),
    ],
)
def test_override_reads_a_value_as_its_field_is_typed(assignment: str, expected: object) -> None:
    changed = override(recipe("clipsep"), (assignment,))
    value = changed
    for name in assignment.partition("=")[0].split("."):
        value = getattr(value, name)
    assert value == expected and type(value) is type(expected)
    assert recipe("clipsep") != changed or assignment == "mixing.equalize_levels=false" or expected is None


def test_override_changes_nothing_else_and_the_last_word_counts() -> None:
    changed = override(recipe("clipsep"), ("training.seed=3", "training.seed=4"))
    assert changed == dataclasses.replace(
        recipe("clipsep"), training=dataclasses.replace(recipe("clipsep").training, seed=4)
    )
    assert override(recipe("clipsep"), ()) == recipe("clipsep")


def test_the_order_of_overrides_does_not_matter() -> None:
    pairs = (
        ("training.batch_size=30", "training.accumulation_steps=5"),
        ("signal.window_samples=256", "signal.hop_samples=64"),
        ("mixing.source_gain_db=7,9", "mixing.num_sources=3"),
        ("query=text", "supervision=labels"),
    )
    for pair in pairs:
        assert override(recipe("clipsep"), pair) == override(recipe("clipsep"), pair[::-1])


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("training.num_step=7", "--set training.num_step: unknown name 'num_step'; did you mean 'num_steps'?"),
        ("traning.num_steps=7", "--set traning.num_steps: unknown name 'traning'; did you mean 'training'?"),
        (
            "loss.qqqq=7",
            "--set loss.qqqq: unknown name 'qqqq'; expected one of kind, logarithmic_weight, absent_weight",
        ),
        ("training.num_steps=many", "--set training.num_steps: expected a whole number, got 'many'"),
        ("optimizer.learning_rate=fast", "--set optimizer.learning_rate: expected a finite number, got 'fast'"),
        ("mixing.equalize_levels=maybe", "--set mixing.equalize_levels: expected true or false, got 'maybe'"),
        (
            "optimizer.decay=slowly",
            "--set optimizer.decay: expected one of constant, linear, cosine, exponential, step, got 'slowly'",
        ),
        ("mixing.source_gain_db=3", "--set mixing.source_gain_db: expected 2 values, got a list of 1"),
        (
            "mixing.source_gain_db=1,2,3",
            "--set mixing.source_gain_db: expected 2 values, got a list of 3",
        ),
        ("mixing.source_gain_db=1,b", "--set mixing.source_gain_db: expected a finite number, got 'b'"),
        ("training=7", "--set training: 'training' is a group; name one of num_steps, "),
        ("training.seed.value=7", "--set training.seed.value: 'seed' is a value, not a group"),
        ("training.seed", "--set 'training.seed': expected dotted.path=value"),
        ("training.num_steps=0", "training.num_steps: expected at least 1, got 0"),
        ("training.ema_decay=nan", "--set training.ema_decay: expected a finite number, got nan"),
        ("training.ema_decay=-3", "training.ema_decay: expected 0 or above and below 1, got -3.0"),
        ("training.ema_decay=5", "training.ema_decay: expected 0 or above and below 1, got 5.0"),
        ("training.seed=-1", "training.seed: expected 0 to 2^63 - 1, got -1"),
        (
            "mixing.source_gain_db=5,-5",
            "mixing.source_gain_db: expected two finite numbers, the lower one first, got 5.0,-5.0",
        ),
        (
            "mixing.mixture_gain_db=0,inf",
            "--set mixing.mixture_gain_db: expected a finite number, got inf",
        ),
        (
            "mixing.interference_db=nan,0",
            "--set mixing.interference_db: expected a finite number, got nan",
        ),
        ("mixing.interference_probability=2", "mixing.interference_probability: expected 0 to 1, got 2.0"),
        ("optimizer.learning_rate=-1", "optimizer.learning_rate: expected 0 or above and finite, got -1.0"),
        ("optimizer.learning_rate=inf", "--set optimizer.learning_rate: expected a finite number, got inf"),
        ("optimizer.warmup_steps=-1", "optimizer.warmup_steps: expected 0 or above and finite, got -1"),
        ("optimizer.betas=2,3", "optimizer.betas: expected 0 or above and below 1, got 2.0"),
        ("optimizer.momentum=1", "optimizer.momentum: expected 0 or above and below 1, got 1.0"),
        ("optimizer.gradient_clip=0", "optimizer.gradient_clip: expected above 0, got 0.0"),
        (
            "signal.clip_samples=16383",
            "signal.clip_samples: gives 64 frames, expected a multiple of 128, the network's own, such as 32767",
        ),
        ("signal.clip_samples=0", "signal.clip_samples: expected at least 1, got 0"),
        ("signal.hop_samples=0", "signal.hop_samples: expected at least 1, got 0"),
        ("signal.window_samples=0", "signal.window_samples: expected at least twice signal.hop_samples, 512, got 0"),
        ("signal.mixture_level_db=nan", "--set signal.mixture_level_db: expected a finite number, got nan"),
        (
            "training.accumulation_steps=5",
            "training.accumulation_steps: expected a divisor of the batch size 32, got 5",
        ),
    ],
)
def test_override_says_what_is_wrong(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        override(recipe("clipsep"), (assignment,))
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    "name", ["num_steps", "batch_size", "accumulation_steps", "checkpoint_steps", "validation_steps"]
)
def test_lengths_of_nothing_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"training.{name}: expected at least 1, got 0"):
        TrainingConfig(**{"num_steps": 1, name: 0})


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("clipsep", {"query": "text"}, "needs labels, and the recipe clipsep declares supervision = none"),
        ("clipsep", {"mixing": MixingConfig(equalize_levels=True)}, "equalize_levels: needs a level in dBFS in signal"),
        ("clipsep", {"encoder": "none"}, "needs an encoder, and the recipe clipsep names none"),
        ("clipsep-bertsep", {"query": "hybrid"}, "needs pictures, and the encoder 'bert' embeds text only"),
    ],
)
def test_a_recipe_asks_only_for_what_it_has(name: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(recipe(name), **changes)
