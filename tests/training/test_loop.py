"""Training: the same bits after an interruption, the loss and the schedule by hand, and clear ends."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_stores import Words, make_store, short_recipe, tensor_hashes, write_labels

import trisep.training.loop
from trisep.checkpoints.format import load_model
from trisep.errors import CheckpointError, ConfigError, MediaError, StoreError, TrainingError
from trisep.losses.masks import MaskLoss, magnitude_weight, weighted_bce
from trisep.media.files import sha256_of
from trisep.mixing.mixture import MixingConfig
from trisep.models import Contract
from trisep.recipes import OptimizerConfig, QueryKind, Recipe
from trisep.spectrogram.log_frequency import to_log_frequency
from trisep.spectrogram.masks import binary_mask
from trisep.spectrogram.stft import stft
from trisep.store.read import ClipStore
from trisep.training.data import VALIDATION_SEED, MixtureDataset, to_mixture
from trisep.training.loop import TrainSettings, to_spectra, train
from trisep.training.material import material_of, require_same_material
from trisep.training.run_folder import RunFolder
from trisep.training.validation import validate
from trisep.types import MaskOutput, Mixture, QueryEmbedding


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("train"))


def in_single_precision(whole: Recipe) -> Recipe:
    return replace(whole, training=replace(whole.training, precision="fp32"))


def settings(store: Path, out: Path, **values: object) -> TrainSettings:
    return TrainSettings(data=store, out=out, cpu=True, num_workers=0, **values)  # type: ignore[arg-type]


class KilledError(Exception):
    pass


def killed_after(step: int):  # type: ignore[no-untyped-def]
    def on_step(done: int) -> None:
        if done == step:
            raise KilledError

    return on_step


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_to_the_same_bits(store: Path, tmp_path: Path) -> None:
    whole = short_recipe()
    train(whole, settings(store, tmp_path / "whole", offscreen=store))
    for killed_at in (2, 3):  # right after a state was saved, and between two
        with pytest.raises(KilledError):
            train(whole, settings(store, tmp_path / "killed", offscreen=store), on_step=killed_after(killed_at))
    torch.manual_seed(99)
    redone: list[int] = []
    train(whole, settings(store, tmp_path / "killed", offscreen=store), on_step=redone.append)
    assert redone == [3, 4]
    expected = tensor_hashes(tmp_path / "whole")
    files = {name.split(":")[0] for name in expected}
    assert files >= {"model/model.safetensors", "best/model.safetensors", "states/step-0000004/state.json"}
    assert any(":optimizer." in name for name in expected) and any(":averaged." in name for name in expected)
    assert tensor_hashes(tmp_path / "killed") == expected
    entries = [
        [json.loads(line) for line in (tmp_path / run / "log.jsonl").read_text().splitlines()]
        for run in ("whole", "killed")
    ]
    assert [entry["step"] for entry in entries[1]] == [entry["step"] for entry in entries[0]]


@pytest.mark.slow
def test_a_finished_run_is_not_done_again(store: Path, tmp_path: Path) -> None:
    whole = short_recipe(num_steps=2)
    train(whole, settings(store, tmp_path))
    before = tensor_hashes(tmp_path)

    def never(done: int) -> None:
        raise AssertionError(f"step {done} was done again")

    train(whole, settings(store, tmp_path), on_step=never)
    assert tensor_hashes(tmp_path) == before


@pytest.mark.slow
def test_models_are_kept_at_the_steps_asked_for_and_do_not_change_the_run(store: Path, tmp_path: Path) -> None:
    recipe = short_recipe()
    train(recipe, settings(store, tmp_path / "plain"))
    train(recipe, settings(store, tmp_path / "run", keep_steps=2))
    kept = sorted(path.name for path in (tmp_path / "run" / "kept").iterdir())
    assert kept == [f"step-{step:07d}" for step in range(2, recipe.training.num_steps + 1, 2)]
    assert not (tmp_path / "plain" / "kept").exists()
    assert tensor_hashes(tmp_path / "run" / "model") == tensor_hashes(tmp_path / "plain" / "model")
    assert load_model(tmp_path / "run" / "kept" / kept[0]).card["step"] == 2


@pytest.mark.slow
def test_only_the_last_two_states_stay(store: Path, tmp_path: Path) -> None:
    train(short_recipe(checkpoint_steps=1), settings(store, tmp_path))
    assert sorted(path.name for path in (tmp_path / "states").iterdir()) == ["step-0000003", "step-0000004"]


@pytest.mark.slow
def test_another_recipe_in_the_same_folder_is_refused(store: Path, tmp_path: Path) -> None:
    train(short_recipe(num_steps=2), settings(store, tmp_path))
    with pytest.raises(
        TrainingError, match="holds a run whose recipe differs in loss, training; choose another --out, or remove it"
    ):
        train(replace(short_recipe(num_steps=3), loss=MaskLoss(kind="ratio_l1")), settings(store, tmp_path))


def test_a_run_does_not_go_on_with_other_labels(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trisep.training.queries.load_encoder", lambda name: Words())
    worded = replace(short_recipe(num_steps=2), supervision="labels", query="text")
    labels = write_labels(store, tmp_path / "labels.csv")
    given = settings(store, tmp_path / "run", labels=labels)
    train(worded, given)
    begun = tensor_hashes(tmp_path / "run")
    first, *rows = labels.read_text().splitlines()
    # What is said of no clip of the store, and the order of the rows, change nothing.
    labels.write_text("\n".join([first, "train/new.mp4,flute", *reversed(rows)]) + "\n")
    train(worded, given)
    for changed in ([rows[0].replace("violin", "harp"), *rows[1:]], [rows[0] + " bow", *rows[1:]]):
        labels.write_text("\n".join([first, *changed]) + "\n")
        with pytest.raises(
            TrainingError,
            match=r"labels.csv: says other things of the clips of .*store than it did when the run in .*run was begun; "
            "choose another --out, or give the labels as they were",
        ):
            train(worded, given)
    assert tensor_hashes(tmp_path / "run") == begun
    # Runs of older versions kept no hash, and go on.
    state = tmp_path / "run" / "states" / "step-0000002" / "state.json"
    state.write_text('{"step": 2}')
    train(worded, given)


def test_a_run_does_not_go_on_with_other_stores(store: Path, tmp_path: Path) -> None:
    recipe, options = short_recipe(num_steps=2), ("data", "validation", "offscreen")
    for option in options:
        shutil.copytree(store, tmp_path / option)
    other = make_store(tmp_path / "other", num_clips=4)
    given = settings(tmp_path / "data", tmp_path / "run", **{option: tmp_path / option for option in options[1:]})
    train(recipe, given)
    begun = tensor_hashes(tmp_path / "run")
    for option in options:
        message = f"{other}: holds other clips than the store of --{option} did when the run in .*run was begun; choose"
        with pytest.raises(TrainingError, match=f"{message} another --out, or give the store as it was"):
            train(recipe, replace(given, **{option: other}))
    with pytest.raises(TrainingError, match="--validation: the run in .*run was begun with this option; give the same"):
        train(recipe, replace(given, validation=None))
    shutil.move(tmp_path / "validation", tmp_path / "moved")
    train(recipe, replace(given, validation=tmp_path / "moved"))  # where a store lies does not matter
    assert tensor_hashes(tmp_path / "run") == begun


def test_what_a_run_learns_from_is_told_apart(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trisep.training.queries.load_encoder", lambda name: Words())
    worded = replace(short_recipe(num_steps=2), supervision="labels", query="text")
    labels = write_labels(store, tmp_path / "labels.csv")
    training, validation = (
        MixtureDataset(ClipStore(store), worded, seed=0, labels=labels, offscreen=ClipStore(store)) for _ in range(2)
    )
    state: dict[str, Any] = {"step": 2, "material": material_of(training, validation)}
    places = settings(store, tmp_path / "run", labels=labels)
    require_same_material(state, training, validation, places)
    for option in ("data", "validation"):
        for what, message in {
            "clips": f"{store}: holds other clips than the store of --{option} did",
            "embeddings": f"{store}: has other embeddings than the store of --{option} did",
            "labels": f"{labels}: says other things of the clips of {store} than it did",
        }.items():
            was = {**state["material"], option: {**state["material"][option], what: "another"}}
            with pytest.raises(TrainingError, match=message):
                require_same_material({**state, "material": was}, training, validation, places)
    require_same_material({"step": 2}, training, validation, places)  # older versions kept no hash,
    with pytest.raises(TrainingError, match="says other things"):  # or one of the labels alone
        require_same_material({"step": 2, "labels_sha256": "another"}, training, validation, places)
    again = MixtureDataset(ClipStore(store), replace(worded, query="image", supervision="none"), seed=0)
    assert material_of(again, again)["validation"] is None


def test_a_wrong_part_and_start_are_told_before_a_store_is_opened(store: Path, tmp_path: Path) -> None:
    recipe = short_recipe()
    wrong = replace(recipe, training=replace(recipe.training, frozen=("unet.dwn",)))
    with pytest.raises(
        ConfigError, match="training.frozen: the network has no part 'unet.dwn'; did you mean unet.down"
    ):
        train(wrong, settings(tmp_path / "nothing", tmp_path / "run"))
    with pytest.raises(CheckpointError, match="elsewhere"):
        train(recipe, replace(settings(tmp_path / "nothing", tmp_path / "run"), init=tmp_path / "elsewhere"))
    with pytest.raises(TrainingError, match="is a clip store"):
        train(recipe, settings(tmp_path / "nothing", store))


def test_a_second_run_in_the_folder_is_refused_and_the_first_ends_in_the_same_bits(store: Path, tmp_path: Path) -> None:
    recipe = short_recipe(num_steps=3)
    straight = train(recipe, settings(store, tmp_path / "straight"))
    refused: list[int] = []

    def disturb(step: int) -> None:
        with pytest.raises(MediaError, match="another trisep writes there"):
            train(recipe, settings(store, tmp_path / "run"))
        refused.append(step)

    disturbed = train(recipe, settings(store, tmp_path / "run"), on_step=disturb)
    assert refused == [1, 2, 3]
    assert (disturbed / "model.safetensors").read_bytes() == (straight / "model.safetensors").read_bytes()


def test_what_cannot_begin_writes_and_says_nothing(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CheckpointError):
        train(short_recipe(), replace(settings(store, tmp_path / "run"), init=tmp_path / "nothing"))
    with pytest.raises(StoreError):
        train(short_recipe(), settings(tmp_path / "nothing", tmp_path / "run"))
    with pytest.raises(TrainingError, match="is a clip store; choose another --out"):
        train(short_recipe(), settings(store, store))
    with pytest.raises(StoreError, match=r"one.store: the store holds 1 clips; .* prepare more recordings"):
        train(short_recipe(), settings(make_store(tmp_path / "one", num_clips=1), tmp_path / "run"))
    assert not (tmp_path / "run").exists() and not (store / "recipe.json").exists()
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_run_that_never_began_gives_way_and_a_damaged_recipe_is_named(store: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        train(short_recipe(), replace(settings(store, tmp_path / "run"), init=tmp_path / "nothing"))
    train(short_recipe(num_steps=2), settings(store, tmp_path / "run"))
    for damaged in ("{", "[]"):
        (tmp_path / "run" / "recipe.json").write_text(damaged)
        with pytest.raises(
            TrainingError, match=r"recipe\.json: is damaged .*; choose another --out, or remove the run"
        ):
            train(short_recipe(num_steps=2), settings(store, tmp_path / "run"))


def test_what_is_no_checkpoint_is_not_replaced_by_one(store: Path, tmp_path: Path) -> None:
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "letter.txt").write_text("mine")
    with pytest.raises(
        CheckpointError,
        match=r"best: holds other things \(letter.txt\), which a checkpoint would replace; choose a new folder",
    ):
        train(short_recipe(), settings(store, tmp_path))
    assert (tmp_path / "best" / "letter.txt").read_text() == "mine"


@pytest.mark.slow
def test_a_run_that_is_killed_between_model_and_state_writes_both_again(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("trisep.training.loop.save_state", killed)
        with pytest.raises(KeyboardInterrupt):
            train(short_recipe(num_steps=2), settings(store, tmp_path))
    assert train(short_recipe(num_steps=2), settings(store, tmp_path)).is_dir()
    assert RunFolder(tmp_path, short_recipe(num_steps=2), is_main=False).newest_state() is not None


def test_a_place_that_cannot_be_written(store: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MediaError, match="cannot be written"):
        train(short_recipe(), settings(store, tmp_path / "file" / "run"))


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_the_run_and_names_step_and_batch(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factors = iter([1.0, 1.0, math.nan])
    terms = MaskLoss.terms
    monkeypatch.setattr(MaskLoss, "terms", lambda *given: {"mask": terms(*given)["mask"] * next(factors)})
    with pytest.raises(
        TrainingError, match="step 3: the loss is nan; batch = samples 4 to 5 of seed 1; lower optimizer.learning_rate"
    ):
        train(short_recipe(), settings(store, tmp_path))
    state = load_model(tmp_path / "model").model.state_dict()
    assert all(value.isfinite().all() for value in state.values())


@pytest.mark.slow
def test_a_step_cut_into_micro_batches_is_about_the_same_step(store: Path, tmp_path: Path) -> None:
    # Not exactly: batch normalisation sees smaller batches.
    losses = {}
    for parts in (1, 2, 4):
        whole = short_recipe(num_steps=1, batch_size=4, accumulation_steps=parts, ema_decay=0.0)
        train(in_single_precision(whole), settings(store, tmp_path / str(parts)))
        entries = [json.loads(line) for line in (tmp_path / str(parts) / "log.jsonl").read_text().splitlines()]
        losses[parts] = next(entry["loss"] for entry in entries if "loss" in entry)
    assert losses[2] == pytest.approx(losses[1], rel=0.05)
    assert losses[4] == pytest.approx(losses[1], rel=0.1)
    assert len(set(losses.values())) == 3


@pytest.mark.slow
def test_every_micro_batch_is_computed_in_the_precision_of_the_recipe(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    terms = MaskLoss.terms

    def spy(*given: Any) -> dict[str, torch.Tensor]:
        seen.append(torch.is_autocast_enabled("cpu"))
        return terms(*given)

    monkeypatch.setattr(MaskLoss, "terms", spy)
    whole = short_recipe(num_steps=1, batch_size=4, accumulation_steps=2)
    train(replace(whole, training=replace(whole.training, precision="bf16")), settings(store, tmp_path))
    assert seen == [True, True]


@pytest.mark.slow
def test_a_run_may_start_from_a_checkpoint(store: Path, tmp_path: Path) -> None:
    still = replace(short_recipe(num_steps=1, ema_decay=0.0), optimizer=OptimizerConfig(learning_rate=0.0))
    first = train(short_recipe(num_steps=2), settings(store, tmp_path / "first"))
    second = train(replace(still, name="second"), settings(store, tmp_path / "second", init=first))
    before, after = load_model(first).model, load_model(second).model
    assert all(torch.equal(value, dict(after.named_parameters())[key]) for key, value in before.named_parameters())


class FixedMasks(torch.nn.Module):
    """A network whose logits are given."""

    contract = Contract(time_multiple=4)

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, log_magnitude: torch.Tensor, query: QueryEmbedding) -> MaskOutput:
        assert query.vectors is not None
        logits = self.logits[:, : query.vectors.shape[1]].expand(-1, -1, 256, log_magnitude.shape[-1])
        return MaskOutput(masks=torch.sigmoid(logits), logits=logits)


def mixture_loss(network: torch.nn.Module, mixture: Mixture, whole: Recipe) -> torch.Tensor:
    return whole.loss(network, to_spectra(mixture, whole)).total


def one_batch(store: Path, whole: Recipe) -> Mixture:
    dataset = MixtureDataset(ClipStore(store), whole, seed=0, offscreen=ClipStore(store))
    return to_mixture({key: value[None] for key, value in dataset[0].items()})


def test_the_loss_compares_the_sources_with_what_is_heard_and_asks_absent_queries_for_silence(store: Path) -> None:
    whole = short_recipe()
    whole = replace(whole, mixing=replace(whole.mixing, interference_probability=1.0))
    mixture = one_batch(store, whole)
    logits = torch.tensor([1.0, -2.0, 3.0])[None, :, None, None]
    loss = mixture_loss(FixedMasks(logits), mixture, whole)
    heard = to_log_frequency(stft(mixture.waveform, whole.signal).abs())
    sources = to_log_frequency(stft(mixture.sources, whole.signal).abs())
    weight = magnitude_weight(heard)
    expected = weighted_bce(logits[:, :2].expand_as(sources), binary_mask(sources, heard), weight)
    # The noise vectors are far apart, so the absent query counts in full: log(1 + e³) on every bin.
    expected = expected + 0.5 * weight.mean() * math.log1p(math.exp(3.0))
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-6)


def test_an_absent_query_that_means_a_source_is_not_asked_for_silence(store: Path) -> None:
    whole = short_recipe()
    mixture = one_batch(store, whole)
    vectors = mixture.query.vectors
    assert vectors is not None
    same = replace(mixture, query=QueryEmbedding(vectors=torch.cat([vectors[:, :2], vectors[:, :1]], dim=1)))
    network = FixedMasks(torch.tensor([1.0, -2.0, 3.0])[None, :, None, None])
    without = replace(mixture, query=QueryEmbedding(vectors=vectors[:, :2]))
    torch.testing.assert_close(mixture_loss(network, same, whole), mixture_loss(network, without, whole))
    assert mixture_loss(network, mixture, whole) > mixture_loss(network, without, whole) + 0.01


@pytest.mark.parametrize("mask", ["ratio_l1", "magnitude_l1"])
def test_the_other_losses_are_finite_and_reach_the_network(store: Path, mask: str) -> None:
    whole = replace(short_recipe(), loss=MaskLoss(kind=mask))  # type: ignore[arg-type]
    network = whole.model.build()
    mixture_loss(network, one_batch(store, whole), whole).backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in network.parameters())


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (OptimizerConfig(learning_rate=1.0), [1.0, 1.0, 1.0, 1.0, 1.0]),
        (OptimizerConfig(learning_rate=1.0, warmup_steps=4), [0.25, 0.5, 0.75, 1.0, 1.0]),
        (OptimizerConfig(learning_rate=1.0, decay="linear", final_factor=0.0), [1.0, 0.8, 0.6, 0.4, 0.2]),
        (
            OptimizerConfig(learning_rate=1.0, decay="linear", decay_steps=2, final_factor=0.5),
            [1.0, 0.75, 0.5, 0.5, 0.5],
        ),
        (
            OptimizerConfig(learning_rate=2.0, warmup_steps=1, decay="exponential", decay_steps=3, final_factor=0.25),
            [2.0, 2.0, 1.0, 0.5, 0.5],
        ),
        (OptimizerConfig(learning_rate=1.0, decay="step", decay_steps=3, final_factor=0.1), [1.0, 1.0, 1.0, 0.1, 0.1]),
        (
            OptimizerConfig(learning_rate=2.0, warmup_steps=1, decay="cosine", final_factor=0.5),
            [2.0, 2.0, 1.853553, 1.5, 1.146447],
        ),
    ],
)
def test_the_schedule_by_hand(config: OptimizerConfig, expected: list[float]) -> None:
    whole = replace(short_recipe(num_steps=5), optimizer=config)
    np.testing.assert_allclose(
        [trisep.training.loop._learning_rate(whole, step) for step in range(5)], expected, rtol=1e-6
    )


@pytest.mark.slow
def test_a_step_is_no_longer_than_the_clipped_gradient(store: Path, tmp_path: Path) -> None:
    # Plain SGD moves the weights by learning rate × gradient, whose norm is cut to 1e-3.
    sgd = OptimizerConfig(kind="sgd", learning_rate=1.0, momentum=0.0, gradient_clip=1e-3)
    whole = in_single_precision(replace(short_recipe(num_steps=1, ema_decay=0.0), optimizer=sgd))
    torch.manual_seed(whole.training.seed)
    before = dict(whole.model.build().named_parameters())
    after = dict(load_model(train(whole, settings(store, tmp_path))).model.named_parameters())
    moved = torch.cat([(after[name] - value).detach().flatten() for name, value in before.items()]).norm()
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert logged[0]["gradient_norm"] > 0.01
    assert float(moved) == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.parametrize("query", ["text", "hybrid", "mixed"])
def test_checkpoints_are_chosen_by_pictures_whatever_the_queries_of_training(
    store: Path, tmp_path: Path, query: QueryKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trisep.training.queries.load_encoder", lambda name: Words())
    worded = replace(short_recipe(), supervision="labels", query=query)
    given = settings(store, tmp_path, labels=write_labels(store, tmp_path / "labels.csv"))
    validation = trisep.training.loop._open_data(worded, given)[1]
    pictured = trisep.training.loop._open_data(short_recipe(), settings(store, tmp_path))[1]
    for index in range(3):
        assert torch.equal(validation[index]["vectors"], pictured[index]["vectors"])


def test_the_average_moves_by_its_share_and_copies_counters() -> None:
    network = torch.nn.BatchNorm2d(1)
    averaged = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.no_grad():
        network.weight.fill_(3.0)
        network.num_batches_tracked.fill_(7)
    trisep.training.loop._average(averaged, network, 0.75)
    assert (averaged["weight"].item(), averaged["num_batches_tracked"].item()) == (1.5, 7)


def test_validation_scores_known_masks(store: Path) -> None:
    whole = short_recipe(num_steps=1)
    whole = replace(whole, mixing=replace(whole.mixing, num_absent_queries=0, interference_probability=0.0))
    dataset = MixtureDataset(ClipStore(store), whole, seed=VALIDATION_SEED)
    everything = validate(FixedMasks(torch.full((1, 2, 1, 1), 30.0)), dataset, whole, torch.device("cpu"))
    assert everything["si_sdri"] == pytest.approx(0.0, abs=0.01)  # a mask of one is the mixture
    assert (
        validate(FixedMasks(torch.full((1, 2, 1, 1), -40.0)), dataset, whole, torch.device("cpu"))["improved_share"]
        == 0.0
    )


def test_a_model_without_queries_is_validated_in_its_best_order(store: Path) -> None:
    whole = replace(short_recipe(num_steps=1), mixing=MixingConfig(num_frames=1))
    dataset = MixtureDataset(ClipStore(store), whole, seed=VALIDATION_SEED)
    # Tones of 200 to 450 Hz: a mask that is open below a row and one that is open above it separate some pair in one
    # order at least.
    rows = torch.linspace(12, -12, 256)[:, None]
    apart = FixedMasks(torch.stack([rows, -rows])[None])
    swapped = FixedMasks(torch.stack([-rows, rows])[None])
    scores = [validate(network, dataset, whole, torch.device("cpu"))["si_sdri"] for network in (apart, swapped)]
    assert scores[0] != pytest.approx(scores[1], abs=0.1)
    for network in (apart, swapped):
        network.contract = replace(network.contract, reads="nothing")
    assert validate(apart, dataset, whole, torch.device("cpu")) == validate(
        swapped, dataset, whole, torch.device("cpu")
    )
    assert validate(apart, dataset, whole, torch.device("cpu"))["si_sdri"] >= max(scores) - 1e-6


@pytest.mark.slow
def test_frozen_parts_stay_as_the_start_left_them(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = in_single_precision(short_recipe(num_steps=2, ema_decay=0.0))
    first = train(whole, settings(store, tmp_path / "first"))
    tuned = replace(
        whole,
        name="tuned",
        training=replace(whole.training, num_steps=3, frozen=("unet.down", "unet.input_norm"), seed=5),
    )
    with pytest.raises(KilledError):
        train(tuned, settings(store, tmp_path / "second", init=first), on_step=killed_after(2))
    second = train(tuned, settings(store, tmp_path / "second"))  # what it was started from is known from the state
    init = load_model(second).card["init"]
    assert (init["name"], init["model"], init["recipe"], init["step"]) == ("model", "clipsep", "clipsep-avmini", 2)
    assert init["weights_sha256"] == sha256_of(first / "model.safetensors") and "init" not in load_model(first).card
    before, after = load_model(first).model.state_dict(), load_model(second).model.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed and not any(name.startswith(("unet.down", "unet.input_norm")) for name in changed)
    assert {"query_projection.weight", "fusion.scale"} <= changed
    assert f"--init {first}: {len(list(load_model(first).model.parameters()))} of" in capsys.readouterr().err
