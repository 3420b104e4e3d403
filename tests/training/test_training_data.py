"""Samples of training: a function of seed and index, made of the clips that were drawn."""

import csv
import pickle
import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_folders import hashes, write_folder
from torch.utils.data import DataLoader, Dataset
from training_stores import Loudness, Words, embed_with_noise, make_store, short_recipe, write_labels

from trisep.errors import ConfigError, StoreError
from trisep.losses.alignment import TeacherAlignedLoss
from trisep.media.level import level_db
from trisep.mixing.augmentation import AugmentationConfig
from trisep.mixing.mixture import MixingConfig, draw_mixture
from trisep.models import Contract, hfra, labelsep, pit
from trisep.recipes import Recipe
from trisep.spectrogram.log_frequency import log_magnitude
from trisep.store.prepare import PrepareSettings, prepare
from trisep.store.read import ClipStore
from trisep.training.data import MixtureDataset, batches, open_store, to_mixture, told_by_workers
from trisep.training.loop import to_spectra
from trisep.training.validation import validate
from trisep.types import Clip, MaskOutput, SignalSettings


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    return ClipStore(make_store(tmp_path_factory.mktemp("training_data")))


def plain_recipe(**mixing: object) -> Recipe:
    """No augmentation; whole clips of two seconds."""
    settings = {"num_sources": 2, "num_frames": 1, **mixing}
    mixed = MixingConfig(**settings)  # type: ignore[arg-type]
    return replace(
        short_recipe(),
        augmentation=AugmentationConfig(),
        mixing=mixed,
        signal=SignalSettings(clip_samples=16000, mixture_level_db=-20.0 if mixed.equalize_levels else None),
    )


def test_a_sample_is_a_function_of_seed_and_index_alone(store: ClipStore) -> None:
    dataset = MixtureDataset(store, short_recipe(), seed=5, offscreen=store)
    forwards = [dataset[index] for index in range(4)]
    other = MixtureDataset(ClipStore(store.path), short_recipe(), seed=5, offscreen=store)
    for index in (3, 1, 0, 2):
        again = other[index]
        assert again.keys() == {"sources", "interference", "vectors"}
        assert all(torch.equal(again[key], forwards[index][key]) for key in again)
    assert not torch.equal(forwards[0]["sources"], forwards[1]["sources"])
    assert not torch.equal(MixtureDataset(store, short_recipe(), seed=6)[0]["sources"], forwards[0]["sources"])


def test_shapes_and_types(store: ClipStore) -> None:
    sample = MixtureDataset(store, short_recipe(), seed=0)[0]
    assert {key: (tuple(value.shape), value.dtype) for key, value in sample.items()} == {
        "sources": ((2, 4095), torch.float32),
        "interference": ((4095,), torch.float32),
        "vectors": ((3, 384), torch.float32),
    }


def test_sources_are_crops_of_the_clips_drawn_and_queries_their_frames(store: ClipStore) -> None:
    whole = plain_recipe(num_absent_queries=1, source_gain_db=(0.0, 0.0))
    dataset = MixtureDataset(store, whole, seed=2)
    for index in range(4):
        choice, sample = draw_mixture(len(store), whole.mixing, np.random.default_rng([2, index])), dataset[index]
        for source, clip, position in zip(sample["sources"], choice.clips, choice.positions, strict=False):
            start = int(position * (int(store.num_samples(clip)) - 16000 + 1))
            np.testing.assert_allclose(
                source.numpy(), store.read_waveform(clip, start, 16000) / 2, rtol=1e-4, atol=1e-6
            )
        for vector, clip, position in zip(sample["vectors"], choice.clips, choice.positions, strict=True):
            centre = 0.5 + position * (store.num_samples(clip) / 16000 - 1)
            nearest = int(np.argmin(np.abs(np.array(store.frame_times(clip)) - centre)))
            np.testing.assert_array_equal(vector.numpy(), store.load_vectors("lite")[store.frame_slice(clip)][nearest])


def test_a_query_is_the_mean_of_the_frames_around_it(store: ClipStore) -> None:
    sample = MixtureDataset(store, plain_recipe(num_frames=2), seed=0)[0]
    clip = draw_mixture(len(store), MixingConfig(), np.random.default_rng([0, 0])).clips[0]
    rows = store.load_vectors("lite")[store.frame_slice(clip)]
    assert len(rows) == 2
    np.testing.assert_allclose(sample["vectors"][0].numpy(), rows.mean(axis=0), rtol=1e-6)


def test_equal_levels_are_the_level_of_the_recipe(store: ClipStore) -> None:
    whole = plain_recipe(equalize_levels=True, source_gain_db=(0.0, 0.0))
    sources = MixtureDataset(store, whole, seed=0)[0]["sources"]
    # Two sources at −20 dBFS + 3 dB, halved: each −23 dBFS, so that their sum, where they are independent, is at −20.
    levels = 20 * torch.log10(sources.square().mean(dim=-1).sqrt())
    torch.testing.assert_close(
        levels, torch.full((2,), -20 + 10 * np.log10(2) - 20 * np.log10(2)), atol=0.1, rtol=0, check_dtype=False
    )


@pytest.mark.parametrize("trained_db", [None, -35.0])
def test_training_validation_and_inference_hear_a_mixture_at_one_level(
    store: ClipStore, trained_db: float | None
) -> None:
    # The same two clips are mixed with gains of 0 and of −10 dB on the whole; the network is asked what it hears.
    heard: list[float] = []

    class Listening:
        """Notes the power of what it reads."""

        contract = Contract(time_multiple=1)

        def __call__(self, log_magnitude: torch.Tensor, query: object) -> MaskOutput:
            heard.append(float(log_magnitude.exp().square().mean()))
            return MaskOutput(masks=torch.ones(1, 2, *log_magnitude.shape[2:]))

    for gain_db in (0.0, -10.0):
        recorded = plain_recipe(mixture_gain_db=(gain_db, gain_db))
        whole = replace(recorded, signal=replace(recorded.signal, mixture_level_db=trained_db))
        dataset, one = MixtureDataset(store, whole, seed=0), replace(whole.training, num_validation_mixtures=1)
        sample = to_mixture({key: value[None] for key, value in dataset[0].items()})
        Listening()(log_magnitude(to_spectra(sample, whole).magnitude), sample.query)
        validate(Listening(), dataset, replace(whole, training=one), torch.device("cpu"))
        level = level_db(sample.waveform.numpy())
        assert trained_db is None or level == pytest.approx(trained_db + gain_db, abs=0.01)
    trained, validated, quiet, quiet_validated = (10 * np.log10(power) for power in heard)
    assert trained - quiet == pytest.approx(10.0, abs=0.05)
    assert validated == pytest.approx(trained, abs=0.05)
    assert quiet_validated == pytest.approx(quiet if trained_db is None else trained, abs=0.05)


def test_interference_comes_from_the_other_store_at_its_level(store: ClipStore) -> None:
    whole = plain_recipe(interference_probability=1.0, interference_db=(-6.0, -6.0))
    assert not MixtureDataset(store, whole, seed=0)[0]["interference"].any()
    sample = MixtureDataset(store, whole, seed=0, offscreen=store)[0]
    levels = [float(one.square().mean().sqrt()) for one in (*sample["sources"], sample["interference"])]
    assert 20 * np.log10(levels[2] / np.mean(levels[:2])) == pytest.approx(-6.0, abs=0.1)
    mixture = to_mixture({key: value[None] for key, value in sample.items()})
    torch.testing.assert_close(mixture.waveform[0], sample["sources"].sum(dim=0) + sample["interference"])


def test_a_clip_shorter_than_the_crop_is_repeated(store: ClipStore) -> None:
    signal = SignalSettings(clip_samples=50000, mixture_level_db=None)
    long = replace(plain_recipe(source_gain_db=(0.0, 0.0)), signal=signal)
    source = MixtureDataset(store, long, seed=0)[0]["sources"][0]
    length = int(store.num_samples(draw_mixture(len(store), long.mixing, np.random.default_rng([0, 0])).clips[0]))
    assert length < 50000
    torch.testing.assert_close(source[length:], source[: 50000 - length])


@pytest.mark.parametrize("num_ranks", [1, 2])
def test_batches_are_the_samples_in_order_dealt_out_to_the_processes(store: ClipStore, num_ranks: int) -> None:
    dataset = MixtureDataset(store, short_recipe(batch_size=4), seed=0)
    whole = list(batches(dataset, first_step=1, last_step=3))
    assert len(whole) == 2
    assert torch.equal(whole[0]["sources"], torch.stack([dataset[index]["sources"] for index in range(4, 8)]))
    for rank in range(num_ranks):
        part = list(batches(dataset, first_step=1, last_step=3, rank=rank, num_ranks=num_ranks))
        for mine, everyone in zip(part, whole, strict=True):
            assert torch.equal(mine["vectors"], everyone["vectors"][rank::num_ranks])


class Damaged(Dataset[int]):
    def __getitem__(self, index: int) -> int:
        raise StoreError("shard-000000.tar: is damaged; prepare it again")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_error_in_a_worker_is_told_in_its_own_words(num_workers: int) -> None:
    loader = DataLoader(Damaged(), sampler=[0], num_workers=num_workers)
    with pytest.raises(StoreError) as told:
        list(told_by_workers(loader))
    assert str(told.value) == "shard-000000.tar: is damaged; prepare it again"


def test_the_samples_survive_the_way_to_a_worker(store: ClipStore) -> None:
    dataset = MixtureDataset(store, short_recipe(), seed=0)
    copied = pickle.loads(pickle.dumps(dataset))
    assert all(torch.equal(copied[3][key], dataset[3][key]) for key in copied[3])


def test_a_store_of_another_rate_or_without_embeddings_is_refused(store: ClipStore) -> None:
    fast = replace(short_recipe(), signal=SignalSettings(sample_rate_hz=22050))
    with pytest.raises(
        StoreError, match="holds sound at 16000 Hz.* reads 22050.*prepare it again with --sample-rate-hz 22050"
    ):
        open_store(store.path, fast)
    with pytest.raises(StoreError, match="run `trisep embed .* --encoder clip-vit-b32`"):
        MixtureDataset(store, replace(short_recipe(), encoder="clip-vit-b32"), seed=0)


def test_labels_beside_the_videos_change_no_byte_of_the_store_and_no_sample(tmp_path: Path) -> None:
    videos = write_folder(tmp_path / "videos", 4)
    names = sorted(path.relative_to(videos).as_posix() for path in videos.rglob("*.mp4"))
    samples, stores = [], []
    for labels in (["dog", "dog", "violin", "rain"], ["rain", "violin", "dog", "dog"], None):
        if labels is None:
            (videos / "manifest.csv").unlink()
        else:
            with (videos / "manifest.csv").open("w", newline="") as file:
                csv.writer(file).writerows([["path", "label"], *zip(names, labels, strict=True)])
        out = tmp_path / "store"
        shutil.rmtree(out, ignore_errors=True)
        prepare(videos, out, PrepareSettings(short_side=32, num_workers=1))
        stores.append(hashes(out))
        dataset = MixtureDataset(ClipStore(embed_with_noise(out)), short_recipe(), seed=0)
        samples.append([dataset[index] for index in range(3)])
    assert stores[0] and stores[0] == stores[1] == stores[2]
    for other in samples[1:]:
        for sample, same in zip(samples[0], other, strict=True):
            assert all(torch.equal(sample[key], same[key]) for key in sample)
    assert {field.name for field in fields(Clip)} == {
        "key",
        "waveform",
        "sample_rate_hz",
        "frames",
        "frame_times_seconds",
    }


def test_labels_in_the_names_of_the_videos_change_no_sample(tmp_path: Path) -> None:
    # Names decide nothing but the order of the clips. The same order under other names must give the same samples.
    plain = tmp_path / "plain"
    write_folder(tmp_path / "made", 4)
    plain.mkdir()
    for number, path in enumerate(sorted((tmp_path / "made").rglob("*.mp4"))):
        shutil.copy(path, plain / f"{number}.mp4")
    labelled = [("0-dog", "1-violin", "2-rain", "3-dog"), ("0-rain", "1-dog", "2-dog", "3-violin")]
    samples = []
    for number, folders in enumerate(labelled):
        videos = tmp_path / f"labelled{number}"
        for clip, folder in enumerate(folders):
            (videos / folder).mkdir(parents=True)
            shutil.copy(plain / f"{clip}.mp4", videos / folder / f"{folder[2:]}.mp4")
        prepare(videos, tmp_path / f"store{number}", PrepareSettings(short_side=32, num_workers=1))
        dataset = MixtureDataset(ClipStore(embed_with_noise(tmp_path / f"store{number}")), short_recipe(), seed=0)
        samples.append([dataset[index] for index in range(4)])
    for sample, same in zip(*samples, strict=True):
        assert all(torch.equal(sample[key], same[key]) for key in sample)


def aligned_recipe(teacher_dim: int | None = 4, teacher: str | None = "loudness") -> Recipe:
    model = replace(hfra.Config.tiny(), embedding_dim=384, teacher_dim=teacher_dim)
    return replace(short_recipe(), model=model, loss=TeacherAlignedLoss(), teacher=teacher)


def test_the_teacher_hears_the_whole_mixture(store: ClipStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trisep.training.data.load_teacher", lambda name: Loudness(4))
    whole = aligned_recipe()
    data = MixtureDataset(
        store, replace(whole, mixing=replace(whole.mixing, interference_probability=1.0)), seed=3, offscreen=store
    )
    sample = data[0]
    mixture = to_mixture({name: value[None] for name, value in sample.items()})
    assert sample["interference"].any() and mixture.teacher is not None
    expected = torch.tensor([[float(mixture.waveform.square().mean().sqrt()), 16000.0, 0.0, 0.0]])
    torch.testing.assert_close(mixture.teacher, expected)


def test_a_teacher_that_does_not_fit_is_refused_at_the_start(store: ClipStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trisep.training.data.load_teacher", lambda name: Loudness(4))
    with pytest.raises(
        ConfigError, match=r"'loudness' gives vectors of 4, .* projects to 7; add --set model.teacher_dim=4"
    ):
        MixtureDataset(store, aligned_recipe(teacher_dim=7), seed=0)
    with pytest.raises(
        ConfigError, match="needs an audio teacher; add --set teacher=NAME with one of lite, efficientat-mn04, clap"
    ):
        MixtureDataset(store, aligned_recipe(teacher=None), seed=0)


def test_a_network_for_vectors_of_another_length_is_refused(
    store: ClipStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trisep.training.queries.load_encoder", lambda name: Words())
    labels = write_labels(store.path, tmp_path / "labels.csv")
    whole = replace(short_recipe(), model=replace(short_recipe().model, embedding_dim=512))  # type: ignore[type-var]
    expected = "'lite' gives vectors of 384, .* reads 512; add --set model.embedding_dim=384"
    for changes, given in (
        ({}, None),
        ({"query": "regions"}, None),
        ({"query": "text", "supervision": "labels"}, labels),
    ):
        with pytest.raises(ConfigError, match=expected):
            MixtureDataset(store, replace(whole, **changes), seed=0, labels=given)  # type: ignore[arg-type]


def test_networks_too_small_for_their_data_are_refused(store: ClipStore, tmp_path: Path) -> None:
    labels = write_labels(store.path, tmp_path / "labels.csv")
    few = replace(
        short_recipe(), supervision="labels", query="label", encoder="none", model=labelsep.Config(num_labels=2)
    )
    with pytest.raises(
        ConfigError, match="model.num_labels: these data need at least 3, got 2; add --set model.num_labels=3"
    ):
        MixtureDataset(store, few, seed=0, labels=labels)
    with pytest.raises(ConfigError, match="model.num_sources: these data need at least 2, got 1"):
        MixtureDataset(
            store, replace(short_recipe(), query="none", encoder="none", model=pit.Config(num_sources=1)), seed=0
        )
