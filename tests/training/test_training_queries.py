"""What a training sample is asked with: labels, words, frames, regions, captions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training_stores import Words, make_store, on_this_machine, short_recipe, without_pictures, write_labels

from trisep.encoders import QUERY_TEMPLATES, encode_query_text
from trisep.errors import ConfigError, MediaError, StoreError
from trisep.mixing.mixture import MixingConfig
from trisep.recipes import QueryKind, recipe
from trisep.store.read import ClipStore
from trisep.training import loop
from trisep.training.data import MixtureDataset
from trisep.training.labels import read_labels
from trisep.training.loop import TrainSettings, train
from trisep.training.queries import ExampleQueries, TrainingQueries


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    return ClipStore(make_store(tmp_path_factory.mktemp("queries")))


@pytest.fixture
def labels(store: ClipStore, tmp_path: Path) -> Path:
    return write_labels(store.path, tmp_path / "labels.csv")


def queries(store: ClipStore, kind: QueryKind, labels: Path | None = None, **mixing: object) -> TrainingQueries:
    return TrainingQueries(store, "lite", kind=kind, mixing=MixingConfig(**mixing), labels=labels)  # type: ignore[arg-type]


def test_labels_are_found_by_the_clips_source_and_numbered_over_the_whole_file(store: ClipStore, labels: Path) -> None:
    numbers, names = read_labels(labels, store)
    assert names == ("harp", "tuba", "violin")
    assert numbers.tolist() == [2, 1, 2, 1, 2, 1]
    given = queries(store, "label", labels).read((0, 3), (1.0, 1.0), batch_number=0)
    assert given["label_ids"].tolist() == [2, 1]


def test_a_whole_path_comes_before_one_that_ends_alike_and_two_labels_are_refused(
    store: ClipStore, tmp_path: Path
) -> None:
    rows = [f"{store.source(clip)},violin\n" for clip in range(len(store))]
    (tmp_path / "more.csv").write_text(f"path,label\n{''.join(rows)}elsewhere/{store.source(0)},gong\n")
    numbers, names = read_labels(tmp_path / "more.csv", store)
    assert [names[number] for number in numbers] == ["violin"] * len(store) and names == ("gong", "violin")
    (tmp_path / "two.csv").write_text(f"path,label\n{''.join(rows)}{store.source(0)},gong\n")
    with pytest.raises(
        ConfigError, match=f"two.csv: has several labels for the clip {store.source(0)}: gong, violin; give one row"
    ):
        read_labels(tmp_path / "two.csv", store)


@pytest.mark.parametrize(
    ("times", "message"), [("soon,", "'soon' to ''"), ("nan,", "'nan' to ''"), ("5,3", "'5' to '3'")]
)
def test_times_that_are_no_stretch_are_named(store: ClipStore, tmp_path: Path, times: str, message: str) -> None:
    (tmp_path / "timed.csv").write_text(f"path,label,start_seconds,end_seconds\n{store.source(0)},violin,{times}\n")
    with pytest.raises(ConfigError, match=rf"timed\.csv: {store.source(0)} from {message} is no stretch; give seconds"):
        read_labels(tmp_path / "timed.csv", store)


def test_spaces_are_no_part_of_a_label_and_an_empty_one_is_none(store: ClipStore, tmp_path: Path) -> None:
    sources = [store.source(clip) for clip in range(len(store))]
    file = tmp_path / "by_hand.csv"
    file.write_text("path,label\n" + "".join(f"{one},{' ' * (n % 2)}violin \n" for n, one in enumerate(sources)))
    assert read_labels(file, store)[1] == ("violin",)
    file.write_text("path,label\n" + "".join(f"{one},violin\n" for one in sources[1:]) + f"{sources[0]}, \n")
    with pytest.raises(ConfigError, match=f"has no label for 1 of 6 clips of .*, the first is {sources[0]}"):
        read_labels(file, store)


def test_a_list_of_paths_may_have_any_further_column(store: ClipStore, tmp_path: Path) -> None:
    rows = "".join(f"{store.source(clip)},violin,{clip}\n" for clip in range(len(store)))
    (tmp_path / "list.csv").write_text(f"path,label,key\n{rows}")
    assert read_labels(tmp_path / "list.csv", store)[1] == ("violin",)


def test_what_data_status_wrote_is_read_by_source_and_stretch(store: ClipStore, tmp_path: Path) -> None:
    sources = [store.source(clip) for clip in range(len(store))]
    (tmp_path / "labels.csv").write_text(
        "key,label,split\n"
        + "".join(f"k{clip},{('tuba', 'harp')[clip % 2]},train\n" for clip in range(6))
        + "k1,oboe,train\n"
    )
    head = "key,source,start_seconds,end_seconds,sha256\n"
    rows = [f"k{clip},{source},,,{clip}\n" for clip, source in enumerate(sources[:5])]
    (tmp_path / "train.csv").write_text(head + "".join(rows))
    (tmp_path / "test.csv").write_text(head + f"k5,{sources[5]},0.0,10.0,5\n" + f"k0,{sources[5]},10.0,20.0,5\n")
    for given in (tmp_path, tmp_path / "labels.csv"):
        numbers, names = read_labels(given, store)
        assert [names[number] for number in numbers] == ["tuba", "harp and oboe", "tuba", "harp", "tuba", "harp"]
        assert names == ("harp", "harp and oboe", "tuba")
    (tmp_path / "test.csv").write_text(head + f"k0,{sources[5]},10.0,20.0,5\n")
    with pytest.raises(ConfigError, match=f"has no label for 1 of 6 clips of .*, the first is {sources[5]}"):
        read_labels(tmp_path, store)
    for file in ("train.csv", "test.csv"):
        (tmp_path / file).unlink()
    with pytest.raises(MediaError, match="holds labels.csv, and no list of clips beside it"):
        read_labels(tmp_path, store)


def test_words_are_the_labels_through_the_templates_and_hybrid_alternates(
    store: ClipStore, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trisep.training.queries.load_encoder", lambda name: Words())
    expected = encode_query_text(Words(), "tuba").numpy()
    text = queries(store, "text", labels)
    np.testing.assert_allclose(text.read((1, 0), (1.0, 1.0), batch_number=0)["vectors"][0], expected, rtol=1e-5)
    hybrid = queries(store, "hybrid", labels)
    np.testing.assert_allclose(hybrid.read((1,), (1.0,), batch_number=1)["vectors"][0], expected, rtol=1e-5)
    image = queries(store, "image").read((1,), (1.0,), batch_number=0)["vectors"]
    np.testing.assert_array_equal(hybrid.read((1,), (1.0,), batch_number=2)["vectors"], image)


def test_labels_are_filled_into_the_recipes_templates_and_their_raw_embeddings_averaged(
    store: ClipStore, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trisep.training.queries.load_encoder", lambda name: Words())
    one, four = (
        MixtureDataset(store, on_this_machine(whole), seed=0, labels=labels).queries.read((1,), (1.0,), batch_number=1)
        for whole in (recipe("clipsep-hybrid"), replace(recipe("clipsep-hybrid"), templates=QUERY_TEMPLATES))
    )
    np.testing.assert_array_equal(one["vectors"], Words().encode_text(["a photo of tuba"]).numpy())
    raw = Words().encode_text([template.format("tuba") for template in QUERY_TEMPLATES]).numpy()
    np.testing.assert_allclose(four["vectors"][0], raw.mean(axis=0), rtol=1e-5)


def test_regions_are_the_frames_own_and_short_clips_repeat_their_last_frame(store: ClipStore) -> None:
    given = queries(store, "regions", num_frames=3).read((2, 4), (0.5, 0.5), batch_number=0)["regions"]
    assert given.shape == (2, 3, 7, 7, 384) and given.dtype == np.float16
    rows = store.frame_slice(2)
    assert rows.stop - rows.start == 2
    stored = store.load_regions("lite")[rows]
    np.testing.assert_array_equal(given[0], stored[[0, 1, 1]])


def test_frames_a_given_time_apart(store: ClipStore) -> None:
    # Frames at 0.5 and 1.5 s or so; three moments 1 s apart around 0.6 s: −0.4, 0.6 and 1.6 s.
    times = np.array(store.frame_times(0))
    given = queries(store, "regions", num_frames=3, frame_spacing_seconds=1.0).read((0,), (0.6,), batch_number=0)[
        "regions"
    ][0]
    stored = store.load_regions("lite")[store.frame_slice(0)]
    expected = [int(np.abs(times - moment).argmin()) for moment in (-0.4, 0.6, 1.6)]
    np.testing.assert_array_equal(given, stored[expected])
    with pytest.raises(ConfigError, match="frame_spacing_seconds"):
        MixingConfig(frame_spacing_seconds=0.0)


def test_words_by_another_version_than_the_pictures_are_refused(
    store: ClipStore, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Words()
    other.fingerprint = "other"
    monkeypatch.setattr("trisep.training.queries.load_encoder", lambda name: other)
    with pytest.raises(StoreError, match="was embedded by another version of 'lite' than the installed one"):
        queries(store, "hybrid", labels)
    assert queries(store, "text", labels).encoder_fingerprint == "other"
    assert queries(store, "label", labels).encoder_fingerprint == ""


def test_frames_are_the_pictures_square_and_in_one_size(store: ClipStore) -> None:
    given = queries(store, "frames", num_frames=3).read((3,), (0.0,), batch_number=0)["frames"]
    shown = store.read_frames(3)
    assert given.shape == (1, 3, 3, 224, 224) and given.dtype == np.uint8 and len(shown) == 2
    for frame, picture in zip(given[0], shown[[0, 1, 1]], strict=True):
        assert np.abs(frame.mean(axis=(1, 2)) - picture.mean(axis=(0, 1))).max() < 3  # each picture has one colour


def test_clips_without_pictures_are_asked_for_in_words_only(store: ClipStore, labels: Path, tmp_path: Path) -> None:
    blind = without_pictures(store.path, tmp_path / "blind", clips=range(6))
    with pytest.raises(StoreError, match="6 of 6 clips have no picture, which queries of kind 'image' need"):
        queries(blind, "image")
    assert queries(blind, "label", labels).read((0,), (0.0,), batch_number=0)["label_ids"].tolist() == [2]


def test_mixed_queries_are_pictures_or_words_and_words_where_there_is_no_picture(
    store: ClipStore, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trisep.training.queries.load_encoder", lambda _: Words())
    mixed, words, pictures = (queries(store, kind, labels) for kind in ("mixed", "text", "image"))
    centres = [0.01 * number for number in range(60)]

    def vector(given: TrainingQueries, centre: float) -> np.ndarray:
        return given.read((2,), (centre,), batch_number=0)["vectors"][0]

    kinds = []
    for centre in centres:
        found = vector(mixed, centre)
        is_word, is_picture = (np.array_equal(found, vector(one, centre)) for one in (words, pictures))
        assert is_word != is_picture and np.array_equal(found, vector(mixed, centre))
        kinds.append(is_picture)
    assert 15 < sum(kinds) < 45
    half = queries(without_pictures(store.path, tmp_path / "blind", clips=(1, 3, 5)), "mixed", labels)
    for centre in centres:
        given = half.read((1,), (centre,), batch_number=0)["vectors"]
        np.testing.assert_array_equal(given, words.read((1,), (centre,), batch_number=0)["vectors"])


def test_validation_asks_with_pictures_only_where_every_clip_has_one(
    store: ClipStore, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trisep.training.queries.load_encoder", lambda _: Words())
    whole = replace(short_recipe(), supervision="labels", query="mixed")
    settings = TrainSettings(data=store.path, out=tmp_path / "run", labels=labels)
    assert loop._open_data(whole, settings)[1].recipe.query == "image"
    blind = without_pictures(store.path, tmp_path / "blind", clips=(3,))
    monkeypatch.setattr(loop, "open_store", lambda path, recipe: blind)
    assert loop._open_data(whole, settings)[1].recipe.query == "mixed"


def test_clips_are_drawn_by_label_and_group_where_the_recipe_says_so(store: ClipStore, labels: Path) -> None:
    assert queries(store, "label", labels).groups is None
    alike = queries(store, "label", labels, balance=1.0).groups
    assert alike is not None and alike.labels.tolist() == [2, 1, 2, 1, 2, 1]
    np.testing.assert_allclose(alike.weights, 1 / 6)
    lines = labels.read_text().splitlines()
    grouped = [
        f"{lines[0]},group",
        *(f"{line},{'old' if number == 1 else 'new'}" for number, line in enumerate(lines[1:])),
    ]
    labels.write_text("\n".join(grouped) + "\n")
    by_group = queries(store, "label", labels, balance=1.0).groups
    assert by_group is not None and len(np.unique(np.round(by_group.weights, 6))) == 3
    with pytest.raises(ConfigError, match="mixing.balance and mixing.distinct_labels need labels"):
        replace(short_recipe(), mixing=MixingConfig(balance=0.5))


def test_nothing_is_asked_of_a_model_that_answers_no_query(store: ClipStore) -> None:
    assert queries(store, "none").read((0, 1), (1.0, 1.0), batch_number=0) == {}


def test_labels_that_are_missing_are_named(store: ClipStore, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the recipe's queries are of kind 'text': give labels with --labels FILE"):
        queries(store, "text")
    (tmp_path / "empty.csv").write_text("path,kind\n")
    with pytest.raises(MediaError, match=r"empty\.csv: lacks the column label"):
        read_labels(tmp_path / "empty.csv", store)
    (tmp_path / "few.csv").write_text(f"path,label\n{store.source(0)},violin\n")
    with pytest.raises(ConfigError, match=r"few\.csv: has no label for 5 of 6 clips of .*, the first is "):
        read_labels(tmp_path / "few.csv", store)
    (tmp_path / "short.csv").write_text(f"path,label\n{store.source(0)}\n")
    with pytest.raises(MediaError, match=r"short\.csv, line 2: expected 2 columns"):
        read_labels(tmp_path / "short.csv", store)
    with pytest.raises(MediaError, match=r"none\.csv: no such file"):
        read_labels(tmp_path / "none.csv", store)


def test_a_recipe_that_learns_without_labels_takes_none(store: ClipStore, labels: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="learns without labels and must not see any"):
        train(
            short_recipe(), TrainSettings(data=store.path, out=tmp_path / "run", labels=labels, cpu=True, num_workers=0)
        )
    with pytest.raises(
        ConfigError, match="query: 'text' needs labels, and the recipe clipsep-avmini declares supervision = none"
    ):
        replace(short_recipe(), query="text")


def test_vocabulary_is_all_captions_or_a_sample_by_the_step(store: ClipStore) -> None:
    from trisep.recipes import recipe

    whole = recipe("vast-avmini").tiny()
    data = MixtureDataset(store, whole, seed=1)
    captions = store.load_captions("lite")
    vocabulary = data.vocabulary(0)
    assert vocabulary is not None
    np.testing.assert_array_equal(vocabulary.numpy(), captions)
    few = MixtureDataset(store, replace(whole, loss=replace(whole.loss, vocabulary_size=3)), seed=1)  # type: ignore[type-var]
    samples = [few.vocabulary(step) for step in (0, 0, 1, 2)]
    assert all(sample is not None and len(sample) == 3 for sample in samples)
    assert torch.equal(samples[0], samples[1]) and not all(torch.equal(samples[0], sample) for sample in samples[2:])  # type: ignore[arg-type]
    assert all((captions == row).all(axis=1).any() for row in samples[0].numpy())  # type: ignore[union-attr]
    assert MixtureDataset(store, short_recipe(), seed=1).vocabulary(0) is None
    assert data[0].keys() == {"sources", "interference", "regions", "captions"}


def test_a_clip_is_asked_for_in_each_of_its_wordings(
    store: ClipStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trisep.training.queries.load_encoder", lambda name: Words())
    rows = [f"{store.source(clip)},violin,{('fiddle;person playing a violin', '')[clip % 2]}" for clip in range(6)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,wordings", *rows]) + "\n")
    asked = queries(store, "text", tmp_path / "labels.csv")
    expected = {text: encode_query_text(Words(), text).numpy() for text in ("fiddle", "person playing a violin")}
    found = [asked.read((2,), (moment / 10,), batch_number=0)["vectors"][0] for moment in range(30)]
    counts = [sum(np.allclose(vector, one, rtol=1e-5) for vector in found) for one in expected.values()]
    assert sum(counts) == 30 and min(counts) > 5
    assert np.array_equal(found[3], asked.read((2,), (0.3,), batch_number=0)["vectors"][0])
    plain = asked.read((3,), (0.0,), batch_number=0)["vectors"][0]
    np.testing.assert_allclose(plain, encode_query_text(Words(), "violin").numpy(), rtol=1e-5)


def examples(store: ClipStore, kind: QueryKind, labels: Path | None = None, crop: int = 8000) -> TrainingQueries:
    return TrainingQueries(store, "lite", kind=kind, mixing=MixingConfig(), labels=labels, crop_samples=crop)


def test_an_example_is_another_stretch_of_the_clip_beside_the_target(
    store: ClipStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trisep.training.queries.load_encoder", lambda name: Words())
    length = int(store.num_samples(1))
    assert length == 32000
    within = ExampleQueries(store, "lite", crop_samples=8000)
    assert within.bounds(1, 0.25) == (8000, 16000)  # the target is the first half second
    assert within.bounds(1, 1.0) == (20000, 28000)
    assert within.bounds(1, 1.25) == (8000, 16000)
    assert within.bounds(1, 1.75) == (16000, 24000)
    assert ExampleQueries(store, "lite", crop_samples=16000).bounds(1, 0.75) == (20000, 32000)
    given = examples(store, "sound").read((1, 4), (1.0, 0.25), batch_number=0)["vectors"]
    for row, clip, begin in ((0, 1, 20000), (1, 4, 8000)):
        heard = Words().encode_audio(torch.from_numpy(store.read_waveform(clip, begin, 8000))[None], 16000)[0]
        np.testing.assert_array_equal(given[row], heard.numpy())


def test_examples_and_words_are_mixed_at_random_as_unit_vectors(
    store: ClipStore, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trisep.training.queries.load_encoder", lambda name: Words())
    both, heard = examples(store, "sound_text", labels), examples(store, "sound")
    words = queries(store, "text", labels).read((1,), (1.0,), batch_number=0)["vectors"][0]
    shares = []
    for moment in np.linspace(0.3, 1.7, 12):
        (found,) = both.read((1,), (float(moment),), batch_number=0)["vectors"]
        sound = heard.read((1,), (float(moment),), batch_number=0)["vectors"][0]
        ends = np.stack([sound / np.linalg.norm(sound), words / np.linalg.norm(words)], axis=1)
        weights, *_ = np.linalg.lstsq(ends, found, rcond=None)
        np.testing.assert_allclose(ends @ weights, found, atol=1e-5)
        assert weights.sum() == pytest.approx(1.0, abs=1e-4)
        shares.append(float(weights[0]))
        again = both.read((1,), (float(moment),), batch_number=3)["vectors"][0]
        np.testing.assert_array_equal(again, found)
    assert 0 <= min(shares) < 0.3 and 0.7 < max(shares) <= 1


def test_what_examples_cannot_be_made_of_is_refused(store: ClipStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trisep.training.queries.load_encoder", lambda name: Words())
    message = "6 of 6 clips are shorter than 2.9 s, which a target and an example need, the first is .*set signal.clip"
    with pytest.raises(StoreError, match=message):
        examples(store, "sound", crop=30000)
    monkeypatch.setattr("trisep.training.queries.load_encoder", lambda name: object())
    with pytest.raises(ConfigError, match="encoder: 'lite' embeds no sounds"):
        examples(store, "sound")


def test_the_hash_of_the_labels_is_that_of_what_is_read(
    store: ClipStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trisep.training.queries.load_encoder", lambda name: Words())

    def hashed(kind: QueryKind, *, more: str = "", wordings: str = "", group: str = "", **mixing: object) -> str:
        rows = [f"{store.source(clip)},violin,{wordings},{group}\n" for clip in range(len(store))]
        (tmp_path / "labels.csv").write_text(f"path,label,wordings,group\n{''.join(rows)}{more}")
        return queries(store, kind, tmp_path / "labels.csv", **mixing).labels_sha256

    plain = {kind: hashed(kind) for kind in ("text", "label", "mixed")}
    assert plain["text"] == hashed("text", more="new.mp4,flute,,\n") == hashed("text", group="a")
    assert plain["label"] != hashed("label", more="new.mp4,flute,,\n")
    assert plain["label"] == hashed("label", wordings="fiddle")
    assert plain["text"] != hashed("text", wordings="fiddle")
    assert hashed("mixed", group="a", distinct_labels=True) != hashed("mixed", distinct_labels=True)
    assert queries(store, "image").labels_sha256 == ""
