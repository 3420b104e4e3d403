"""Separating with models that share no space with words: Sound of Pixels by pictures, LabelSep by its labels, PIT not
at all.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clip_folders import pictures, tone
from published_sound_of_pixels import PublishedSoundOfPixels

import trisep
from trisep.checkpoints.format import save_model
from trisep.checkpoints.published import import_checkpoint
from trisep.encoders.resnet import square_frames
from trisep.errors import CheckpointError, QueryError
from trisep.media.video_writer import write_video
from trisep.models import co_separation, labelsep, pit, sound_of_pixels, wave_u_net
from trisep.queries.boxes import DetectedBox
from trisep.separation.options import SeparationOptions
from trisep.types import Audio, Place, Query, QueryEmbedding, SignalSettings

RATE_HZ = 16000


def saved(folder: Path, config: Any, name: str, **card: object) -> Path:
    torch.manual_seed(1)
    model = config.build().eval()
    if hasattr(model, "fusion"):
        with torch.no_grad():
            model.fusion.scale.mul_(12.0)
    facts = {"signal": asdict(SignalSettings()), "encoder": "none", "encoder_fingerprint": "", **card}
    save_model(folder / name, model, model_name=name, card=facts)
    return folder / name


def sound(num_samples: int = 9000) -> Audio:
    return Audio(np.random.default_rng(0).normal(0, 0.1, (1, num_samples)).astype(np.float32), RATE_HZ)


@pytest.fixture(scope="module")
def by_pictures(tmp_path_factory: pytest.TempPathFactory) -> trisep.Separator:
    return trisep.load(
        saved(tmp_path_factory.mktemp("sop"), sound_of_pixels.Config.tiny(), "sound_of_pixels"), device="cpu"
    )


@pytest.fixture(scope="module")
def by_labels(tmp_path_factory: pytest.TempPathFactory) -> trisep.Separator:
    folder = saved(
        tmp_path_factory.mktemp("labelsep"), labelsep.Config.tiny(), "labelsep", labels=["Flute", "tuba", "violin"]
    )
    return trisep.load(folder, device="cpu")


def test_pictures_videos_and_boxes_reach_the_image_network(by_pictures: trisep.Separator, tmp_path: Path) -> None:
    video = tmp_path / "clip.mp4"
    write_video(video, pictures(1.0), fps=5.0, audio=tone(1.0))
    photo = np.random.default_rng(2).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    queries = [Query("photo", image=photo), Query("all", video=video), Query("box", place=Place(0.0, 0.0, 1.0, 1.0))]
    result = by_pictures.separate(video, queries, options=SeparationOptions(exclusive=False))
    assert list(result.stems) == ["photo", "all", "box"] and result.frames is not None
    np.testing.assert_allclose(result.masks[1], result.masks[2], atol=1e-5)
    assert np.abs(result.masks[0] - result.masks[1]).max() > 1e-3
    alone = by_pictures.separate(video, queries[:1])
    np.testing.assert_allclose(alone.masks[0], result.masks[0], atol=1e-5)
    seen = QueryEmbedding(frames=square_frames([photo])[None, None])
    weights = by_pictures.model.query_weights(seen)
    assert weights.shape == (1, 1, 4) and alone.stems["photo"].presence > 0


def test_a_model_of_boxes_takes_pictures_and_boxes_as_they_are_and_looks_into_videos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trisep.queries.embed.load_encoder", lambda name: Seeing())
    monkeypatch.setattr("trisep.queries.embed.LiteEncoder", Seeing)
    half = DetectedBox(Place(0.0, 0.0, 0.5, 1.0), "goat", 1.0)
    monkeypatch.setattr("trisep.queries.embed.find_boxes", lambda lite, frame, max_boxes: [half])
    objects = trisep.load(saved(tmp_path, co_separation.Config.tiny(), "co_separation"), device="cpu")
    video = tmp_path / "clip.mp4"
    write_video(video, pictures(1.0), fps=5.0, audio=tone(1.0))
    queries = [
        Query("all", video=video),
        Query("half", place=Place(0.0, 0.0, 0.5, 1.0)),
        Query("noise", image=np.random.default_rng(2).integers(0, 256, (40, 60, 3), dtype=np.uint8)),
    ]
    masks = objects.separate(video, queries, options=SeparationOptions(exclusive=False)).masks
    np.testing.assert_allclose(masks[0], masks[1], atol=1e-5)
    assert np.abs(masks[0] - masks[2]).max() > 1e-4
    with pytest.raises(QueryError, match="co_separation learned from whole pictures only and cannot read words"):
        objects.separate(video, ["violin"])


class Seeing:
    """In the place of `lite`."""


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "violin",
            "query 'violin': sound_of_pixels learned from whole pictures only and cannot read words; give --image",
        ),
        (Query("here", place=Place(0.5, 0.5)), "a sound in memory has none"),
    ],
)
def test_what_an_image_network_cannot_be_asked(by_pictures: trisep.Separator, query: str | Query, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        by_pictures.separate(sound(), [query])


def test_a_point_and_a_vector_mean_nothing_to_an_image_network(by_pictures: trisep.Separator, tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", pictures(1.0), fps=5.0, audio=tone(1.0))
    with pytest.raises(QueryError, match="cannot read a point"):
        by_pictures.separate(tmp_path / "clip.mp4", [Query("here", place=Place(0.5, 0.5))])
    with pytest.raises(QueryError, match="without an embedding space that text and pictures share"):
        by_pictures.embed([Query("violin", text="violin")])


def test_an_imported_sound_of_pixels_separates(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(PublishedSoundOfPixels().state_dict(), tmp_path / "published.pth")
    import_checkpoint(tmp_path / "published.pth", "sound-of-pixels", tmp_path / "imported", encoder=None)
    separator = trisep.load(tmp_path / "imported", device="cpu")
    report = separator.separate_to_files(
        sound(),
        [Query("red", image=np.full((9, 9, 3), (200, 0, 0), np.uint8))],
        tmp_path / "out",
        options=SeparationOptions(segment_seconds=1.0),
    )
    assert report["encoder"] == {"name": "none", "fingerprint": ""}
    assert (tmp_path / "out" / "red.wav").is_file()


def test_labels_are_asked_by_name(by_labels: trisep.Separator) -> None:
    result = by_labels.separate(sound(), ["tuba", "FLUTE"], options=SeparationOptions(exclusive=False))
    swapped = by_labels.separate(sound(), ["flute", "tuba"], options=SeparationOptions(exclusive=False))
    assert list(result.stems) == ["tuba", "FLUTE"]
    np.testing.assert_allclose(result.masks[[1, 0]], swapped.masks, atol=1e-6)
    assert np.abs(result.masks[0] - result.masks[1]).max() > 1e-3


def test_other_labels_and_pictures_are_refused(by_labels: trisep.Separator, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="query 'viola': this model knows its 3 labels only; the nearest are 'violin'"):
        by_labels.separate(sound(), ["viola"])
    with pytest.raises(QueryError, match="the nearest are 'Flute', 'tuba', 'violin'"):
        by_labels.separate(sound(), ["xyz"])
    with pytest.raises(
        QueryError, match="query 'red': this model knows labels only; give a label in words, for example 'Flute'"
    ):
        by_labels.separate(sound(), [Query("red", image=np.zeros((9, 9, 3), np.uint8))])
    with pytest.raises(CheckpointError, match="lists no labels, which are this model's queries; train again"):
        trisep.load(saved(tmp_path, labelsep.Config.tiny(), "labelsep"), device="cpu").separate(sound(), ["tuba"])


def test_a_model_that_answers_no_query_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match="pit answers no query: .* score it with `trisep evaluate`, or choose another model"
    ):
        trisep.load(saved(tmp_path, pit.Config.tiny(), "pit"))
    answering = replace(wave_u_net.Config.tiny(), embedding_dim=8)
    with pytest.raises(CheckpointError, match="wave_u_net makes no masks to separate files by"):
        trisep.load(saved(tmp_path / "waves", answering, "wave_u_net"))
