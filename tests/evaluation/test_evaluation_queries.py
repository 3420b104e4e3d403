"""What a model is asked for each source: words by the protocol's templates, frames around the middle of the segment,
places, labels, and each of them embedded once.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_folders import tone
from evaluated import CLIPSEP, UNET, ColoursAndWords, checkpoint

from trisep.encoders import load_encoder
from trisep.errors import CheckpointError, ConfigError, QueryError
from trisep.evaluation.examples import examples_of, sound_vector
from trisep.evaluation.queries import embed_sources, words_not_understood
from trisep.media.audio_writer import write_audio
from trisep.media.video import read_frames, write_video
from trisep.models import avsgs, co_separation, labelsep, sound_of_pixels, vast
from trisep.protocols import Protocol, ProtocolMixture, ProtocolSource, protocol
from trisep.types import Place, SignalSettings

REGIONS = replace(UNET, normalization="channel", out_channels=1)
COLOUR_TOLERANCE = 8
"""What H.264 makes of a grey level."""


@pytest.fixture(autouse=True)
def loaded(encoder: ColoursAndWords) -> ColoursAndWords:
    """No test here loads a real one."""
    return encoder


@pytest.fixture
def rising(tmp_path: Path) -> ProtocolSource:
    """Four seconds; frame k, at k/4 s, is of grey 12 k, and its right half 50 brighter."""
    frames = [np.full((28, 56, 3), 12 * number, np.uint8) for number in range(16)]
    for frame in frames:
        frame[:, 28:] += 50
    write_video(tmp_path / "rising.mp4", frames, fps=4, audio=tone(4.0))
    return ProtocolSource(path=tmp_path / "rising.mp4", label="dog")


def rules(**others: object) -> Protocol:
    """Segments of a second, three frames half a second apart."""
    signal = SignalSettings(clip_samples=16000)
    settings = {"signal": signal, "frame_spacing_seconds": 0.5, "whole_clips": False} | others
    return replace(protocol("avmini"), **settings)  # type: ignore[arg-type]


def grey(source: ProtocolSource, one: Protocol, query: str = "image") -> float:
    """The number of the frame that a mean grey stands for."""
    vectors = embed_sources(checkpoint(CLIPSEP), [source], query, one).vectors
    assert vectors is not None and vectors.shape == (1, 1, 3)
    return (float(vectors.mean()) - 25) / 12


@pytest.mark.parametrize(
    ("placed", "changed", "frames"),
    [
        ({"start": 0.0}, {}, (0, 2, 4)),
        ({"start": 1.0}, {}, (12, 14, 15)),
        ({"start": 0.5}, {"frame_spacing_seconds": 0.25}, (7, 8, 9)),
        ({"start": 0.0, "start_seconds": 1.0, "end_seconds": 3.0}, {}, (4, 6, 8)),
        ({"start": 0.0, "start_seconds": 1.0, "end_seconds": 3.0}, {"whole_clips": True}, (6, 8, 10)),
        ({"start": 0.0}, {"num_frames": 1}, (2,)),
        ({"start": 1.0}, {"num_frames": 2}, (12, 14)),
    ],
)
def test_the_frames_around_the_middle_of_the_segment(
    rising: ProtocolSource, placed: dict[str, float], changed: dict[str, object], frames: Sequence[int]
) -> None:
    source = replace(rising, **placed)  # type: ignore[arg-type]
    assert grey(source, rules(**changed)) == pytest.approx(np.mean(frames), abs=COLOUR_TOLERANCE / 12)


def test_a_picture_of_its_own_is_looked_at_in_its_middle(rising: ProtocolSource, tmp_path: Path) -> None:
    write_audio(tmp_path / "sound.wav", tone(10.0), subtype="wav_float32")
    source = ProtocolSource(path=tmp_path / "sound.wav", label="dog", start=1.0, picture=rising.path)
    for query in ("image", "video"):
        assert grey(source, rules(), query) == pytest.approx(np.mean([6, 8, 10]), abs=COLOUR_TOLERANCE / 12)
    placed = replace(source, place=Place(x=0.75, y=0.5, time_seconds=0.0))
    vectors = embed_sources(checkpoint(CLIPSEP), [placed], "region", rules()).vectors
    assert vectors is not None and float(vectors.mean()) == pytest.approx(50, abs=COLOUR_TOLERANCE)


def test_a_model_of_regions_gets_every_cell_of_a_video_and_one_vector_of_a_picture(rising: ProtocolSource) -> None:
    watching = replace(checkpoint(CLIPSEP), model=replace(CLIPSEP, reads_regions=True).build())
    asked = embed_sources(watching, [replace(rising, start=0.0)] * 2, "video", rules())
    assert asked.vectors is None and asked.regions is not None
    assert asked.regions.shape == (1, 2, 3, 7, 7, 3) and asked.regions.dtype == torch.float32
    cells = asked.regions[0, 1, :, 3].mean(dim=-1)
    for frame, number in zip(cells, (0, 2, 4), strict=True):
        expected = [12 * number] * 3 + [12 * number + 25] + [12 * number + 50] * 3
        assert frame.tolist() == pytest.approx(expected, abs=COLOUR_TOLERANCE)
    image = embed_sources(watching, [rising], "image", rules())
    assert image.regions is None and image.vectors is not None and image.vectors.shape == (1, 1, 3)


def test_a_region_is_the_cell_at_the_place(rising: ProtocolSource) -> None:
    places = [Place(x=0.25, y=0.5, time_seconds=1.0), Place(x=0.75, y=0.5, time_seconds=1.0)]
    placed = [replace(rising, place=place) for place in places]
    vectors = embed_sources(checkpoint(CLIPSEP), placed, "region", protocol("avmini-duets")).vectors
    assert vectors is not None and vectors.shape == (1, 2, 3)
    assert vectors.mean(dim=-1)[0].tolist() == pytest.approx([48, 98], abs=COLOUR_TOLERANCE)
    with pytest.raises(ConfigError, match="protocol 'avmini' does not say where a source is in the picture"):
        embed_sources(checkpoint(CLIPSEP), [rising], "region", protocol("avmini"))


def test_words_go_through_the_protocols_templates(sources: tuple[ProtocolSource, ...]) -> None:
    model = checkpoint(CLIPSEP)
    vectors = embed_sources(model, sources, "text", protocol("avmini")).vectors
    assert vectors is not None and vectors[0].tolist() == [[len("a photo of dog")] * 3, [len("a photo of rain")] * 3]
    averaged = embed_sources(model, sources, "text", protocol("clipsep-music")).vectors
    assert averaged is not None  # the raw mean over the four templates, whose texts have these numbers of letters
    assert averaged[0].tolist() == [[(14 + 24 + 31 + 19) / 4] * 3, [(15 + 25 + 32 + 20) / 4] * 3]


@pytest.mark.parametrize(("query", "method"), [("text", "encode_text"), ("image", "encode_image")])
def test_the_same_question_is_embedded_once(
    rising: ProtocolSource, loaded: ColoursAndWords, monkeypatch: pytest.MonkeyPatch, query: str, method: str
) -> None:
    asked = []
    original = getattr(loaded, method)
    monkeypatch.setattr(loaded, method, lambda given: asked.append(given) or original(given))
    for _ in range(2):
        embed_sources(checkpoint(CLIPSEP), [rising, rising], query, rules())
    assert len(asked) == 1
    embed_sources(checkpoint(CLIPSEP), [replace(rising, label="rain", start=1.0)], query, rules())
    assert len(asked) == 2


def test_a_picture_is_asked_for_where_there_is_none(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", tone(0.5), subtype="wav_float32")
    source = ProtocolSource(path=tmp_path / "a.wav", label="dog")
    for query in ("image", "video"):
        with pytest.raises(QueryError, match="a.wav: holds no picture, which this --query needs; use --query text"):
            embed_sources(checkpoint(CLIPSEP), [source], query, protocol("avmini"))


def test_a_model_of_labels_is_asked_by_number(sources: tuple[ProtocolSource, ...]) -> None:
    labels = labelsep.Config(num_labels=2, embedding_dim=3, unet=UNET)
    asked = embed_sources(checkpoint(labels, {"labels": ["rain", "dog"]}), sources, "text", protocol("avmini"))
    assert asked.label_ids is not None and asked.label_ids.tolist() == [[1, 0]] and asked.vectors is None
    with pytest.raises(ConfigError) as caught:
        embed_sources(checkpoint(labels), sources, "image", protocol("avmini"))
    reason = "net reads labels, so it does not take --query image; use --query text"
    assert str(caught.value) == f"ours: {reason}"
    with pytest.raises(CheckpointError, match="config.json: lists no labels"):
        embed_sources(checkpoint(labels), sources, "text", protocol("avmini"))
    with pytest.raises(QueryError, match="query 'dog': this model knows its 2 labels only"):
        embed_sources(checkpoint(labels, {"labels": ["rain", "cat"]}), sources, "text", protocol("avmini"))


def test_a_model_with_eyes_of_its_own_is_shown_the_frames(rising: ProtocolSource) -> None:
    pixels = checkpoint(sound_of_pixels.Config(unet=UNET, image_width=2))
    source = replace(rising, start=0.0)
    for query in ("image", "video"):
        frames = embed_sources(pixels, [source, source], query, rules()).frames
        assert frames is not None and frames.shape == (1, 2, 3, 3, 224, 224) and frames.dtype == torch.uint8
        seen = frames[0, 0].float().mean(dim=(1, 2, 3))
        expected = read_frames(source.path, [0.0, 0.5, 1.0]).mean(axis=(1, 2, 3))
        assert seen.tolist() == pytest.approx(expected.tolist(), abs=COLOUR_TOLERANCE)
    with pytest.raises(ConfigError, match="reads pictures, so it does not take --query text; use --query image or"):
        embed_sources(pixels, [source], "text", rules())


def detections(folder: Path) -> Path:
    """Two halves of the rising video, of two classes, and one more half at half a second alone."""
    rows = ["path,time_seconds,x,y,width,height,label,score", "rising.mp4,,0,0,0.5,1,cat,0.9"]
    rows += ["rising.mp4,,0.5,0,0.5,1,dog,0.8", "rising.mp4,0.5,0.5,0,0.5,1,cat,0.7"]
    (folder / "boxes.csv").write_text("\n".join(rows) + "\n")
    return folder / "boxes.csv"


def test_boxes_are_pictures_of_their_own_in_the_form_that_a_model_reads(rising: ProtocolSource, tmp_path: Path) -> None:
    source, one, file = replace(rising, start=0.0), rules(num_frames=1), detections(tmp_path)
    watching = replace(checkpoint(CLIPSEP), model=vast.Config(embedding_dim=3, unet=REGIONS).build())
    asked = embed_sources(watching, [source, source], "boxes", one, boxes=file)
    assert asked.box_labels is not None and asked.box_vectors is not None and asked.box_frames is not None
    assert asked.vectors is None and asked.regions is None
    assert asked.box_labels.tolist() == [[[0, 1, 0]] * 2] and asked.box_frames.tolist() == [[[0, 0, 0]] * 2]
    greys = asked.box_vectors.mean(dim=-1)[0, 1].tolist()  # the frame at half a second is of grey 24
    assert greys == pytest.approx([24, 74, 74], abs=COLOUR_TOLERANCE)
    mean = embed_sources(checkpoint(CLIPSEP), [source], "boxes", one, boxes=file).vectors
    assert mean is not None and float(mean.mean()) == pytest.approx((24 + 74 + 74) / 3, abs=COLOUR_TOLERANCE)


def test_models_of_boxes_take_as_many_as_they_can_and_nothing_else(rising: ProtocolSource, tmp_path: Path) -> None:
    source, file = replace(rising, start=0.0), detections(tmp_path)
    objects = checkpoint(co_separation.Config.tiny())
    asked = embed_sources(objects, [source], "boxes", rules(num_frames=1), boxes=file)
    assert asked.frames is not None and asked.frames.shape == (1, 1, 2, 3, 224, 224) and asked.box_vectors is None
    assert asked.box_labels is not None and asked.box_labels.tolist() == [[[0, 1]]]
    graphs = checkpoint(avsgs.Config.tiny())
    asked = embed_sources(graphs, [source], "boxes", rules(), boxes=file)
    assert asked.box_labels is not None and asked.box_vectors is not None
    # The frames at 0, ½ and 1 s: each has both halves, and is within a second of the third box.
    assert asked.box_labels.tolist() == [[[0, 1, 0, 0, 1, 1, 0, 0, 0]]] and asked.frames is None
    for query in ("text", "image", "video"):
        with pytest.raises(ConfigError, match=f"reads boxes, so it does not take --query {query}; use --query boxes"):
            embed_sources(objects, [source], query, rules(), boxes=file)


class Hearing(ColoursAndWords):
    """Also embeds sounds: by their level, three times."""

    def encode_audio(self, waveform: torch.Tensor, sample_rate_hz: int) -> torch.Tensor:
        """The mean of the magnitudes, whatever the rate."""
        return waveform.abs().mean(dim=1, keepdim=True).repeat(1, 3)

    def encode_audio_seconds(self, waveform: torch.Tensor, sample_rate_hz: int) -> torch.Tensor:
        """One second, the whole sound."""
        return self.encode_audio(waveform, sample_rate_hz).unsqueeze(1)


def dogs(folder: Path) -> list[ProtocolSource]:
    """Three recordings of a dog, of amplitudes 0.1, 0.2 and 0.3, and one of rain."""
    made = []
    for name, label, amplitude in (("a", "dog", 0.1), ("b", "dog", 0.2), ("c", "dog", 0.3), ("d", "rain", 0.4)):
        sound = tone(0.5)
        write_audio(folder / f"{name}.wav", replace(sound, samples=sound.samples * amplitude), subtype="wav_float32")
        made.append(ProtocolSource(path=folder / f"{name}.wav", label=label))
    return made


def test_a_sound_is_the_next_recording_of_the_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trisep.evaluation.examples.load_encoder", lambda name: Hearing())
    *sources, rain = dogs(tmp_path)
    listed = [
        ProtocolMixture(index=index, sources=pair)
        for index, pair in enumerate([(sources[2], rain), (sources[0], sources[1])])
    ]
    examples = examples_of(listed)
    assert {label: [one.path.stem for one in found] for label, found in examples.items()} == {
        "dog": ["a", "b", "c"],
        "rain": ["d"],
    }
    asked = embed_sources(checkpoint(CLIPSEP), sources, "sound", rules(), examples=examples).vectors
    assert asked is not None and asked.shape == (1, 3, 3)
    levels = [float(sound_vector("lite", source)[0]) for source in sources]
    assert asked[0, :, 0].tolist() == pytest.approx([levels[1], levels[2], levels[0]])
    assert levels[0] < levels[1] < levels[2]
    with pytest.raises(QueryError, match="no other recording of 'rain', which --query sound asks with"):
        embed_sources(checkpoint(CLIPSEP), [rain], "sound", rules(), examples=examples)


def test_an_encoder_that_hears_nothing_takes_no_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trisep.evaluation.examples.load_encoder", lambda name: ColoursAndWords())
    first, second, *_ = dogs(tmp_path)
    examples = examples_of([ProtocolMixture(index=0, sources=(first, second))])
    with pytest.raises(ConfigError, match="'deaf' embeds no sounds"):
        embed_sources(replace(checkpoint(CLIPSEP), encoder="deaf"), [first], "sound", rules(), examples=examples)


def test_the_words_of_a_list_that_are_not_understood_are_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trisep.evaluation.queries.load_encoder", load_encoder)
    words = ("violin", "qwrtzy"), ("violin", "never a dog"), ("qwrtzy", "dog")
    mixtures = [
        ProtocolMixture(index=0, sources=tuple(ProtocolSource(path=Path(), label="q", query=word) for word in pair))
        for pair in words
    ]
    mixtures.append(ProtocolMixture(index=1, sources=(ProtocolSource(path=Path(), label="justice"),)))
    assert words_not_understood(checkpoint(CLIPSEP), mixtures) == ["justice", "never a dog", "qwrtzy"]
    assert words_not_understood(replace(checkpoint(CLIPSEP), encoder="clip-rn50"), mixtures) == []
    labelled = checkpoint(labelsep.Config(num_labels=2, embedding_dim=3, unet=UNET))
    assert words_not_understood(labelled, mixtures) == []
