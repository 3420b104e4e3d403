"""The sounds of a listening test, with what is true of each: read from files, or separated here from mixtures of a
protocol.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trisep.errors import ConfigError
from trisep.evaluation.sounds import bounds_seconds, mix
from trisep.listening.key import BOTH, NONE, read_table
from trisep.media.audio import read_audio
from trisep.media.probe import probe
from trisep.media.video import read_frames
from trisep.protocols import Protocol, ProtocolMixture, ProtocolSource, protocol
from trisep.separation.separator import Separator, load
from trisep.types import Audio, Query

QUERY_KINDS = ("image", "text", "mixture")
_COLUMNS = ("model", "query_kind", "file", "label_a", "label_b")


@dataclass(frozen=True, kw_only=True, slots=True)
class ListeningClip:
    """One sound to be judged."""

    model: str
    query_kind: str
    """image, text or mixture."""
    label_a: str
    """Name of the sound that was asked for."""
    label_b: str
    """Name of the other sound of the mixture."""
    file: str
    """Where it came from, for the key."""
    audio: Audio
    """Mono; all clips of a test at one rate, so that the rate tells nothing of the model."""

    def __post_init__(self) -> None:
        """Refuse names that could not be told apart from one another or from the other answers."""
        if not self.label_a.strip() or not self.label_b.strip() or self.label_a == self.label_b:
            raise ConfigError(
                f"{self.file}: needs two different names of sounds, got {self.label_a!r} and {self.label_b!r}"
            )
        if {self.label_a.lower(), self.label_b.lower()} & {BOTH, NONE}:
            raise ConfigError(
                f"{self.file}: a sound cannot be called '{BOTH}' or '{NONE}', which are answers of their own"
            )
        if self.query_kind not in QUERY_KINDS:
            raise ConfigError(
                f"{self.file}: query_kind must be one of {', '.join(QUERY_KINDS)}, got {self.query_kind!r}"
            )


def clips_from_table(path: Path) -> list[ListeningClip]:
    """Clips that a table lists.

    Args:
        path: CSV with the columns model, query_kind (image, text or mixture), file (relative to the table), label_a
            (the sound that was asked for), label_b; or a folder that holds it as samples.csv. Sounds are brought to the
            highest rate among them.

    Raises:
        ConfigError: a column, file or name is missing or makes no sense.
        MediaError: a sound cannot be read.
    """
    table = path / "samples.csv" if path.is_dir() else path
    rows = read_table(table, _COLUMNS)
    files = [table.parent / row["file"] for row in rows]
    tracks = [probe(file).audio for file in files]
    silent = [file for file, streams in zip(files, tracks, strict=True) if not streams]
    if silent:
        raise ConfigError(f"{silent[0]}: holds no sound; give separated clips")
    rate = max(streams[0].sample_rate_hz for streams in tracks)
    return [
        ListeningClip(**{name: row[name] for name in _COLUMNS}, audio=read_audio(file, sample_rate_hz=rate, mono=True))
        for row, file in zip(rows, files, strict=True)
    ]


def clips_from_models(
    models: Sequence[str],
    data: Path,
    *,
    protocol_name: str = "avmini",
    count: int = 10,
    seed: int = 0,
    device: str = "auto",
) -> Iterator[ListeningClip]:
    """`count` mixtures as they are, and what each model makes of them when asked for one of the two sounds: text by its
    name, image by the middle frame of its video.

    Every model gets the same mixtures and the same questions, so that rows of the table differ by the model alone; the
    paper does not say.

    Args:
        models: each a model's name or checkpoint, then `=text` or `=image`; text if it says neither.
        data: folder of the protocol's clips.
        protocol_name: whose mixtures to take; of two sources and nothing else.
        count: how many.
        seed: of the protocol's list, whose first mixtures are taken, and of the source that is asked for.
        device: auto, cpu, cuda or mps.

    Raises:
        ConfigError: a model is named twice, or the protocol has fewer mixtures, or others.
        CheckpointError, MediaError: a model or a clip cannot be read.
    """
    systems = [_model_and_kind(model) for model in models]
    if len(set(systems)) < len(systems):
        raise ConfigError(f"--model: expected each model once for each kind of query, got {', '.join(models)}")
    rules = protocol(protocol_name)
    questions = _questions(rules, data, count, seed)
    sounds = [_mixture_audio(rules, mixture) for mixture, _, _ in questions]
    for name, kind in [("mixture", "mixture"), *systems]:
        separator = load(name, device=device) if kind != "mixture" else None
        for (mixture, asked, other), sound in zip(questions, sounds, strict=True):
            audio = (
                sound if separator is None else _separated(separator, sound, asked.label, _query(rules, asked, kind))
            )
            file = f"{protocol_name} mixture {mixture.index}"
            yield ListeningClip(
                model=name, query_kind=kind, label_a=asked.label, label_b=other.label, file=file, audio=audio
            )


def _model_and_kind(text: str) -> tuple[str, str]:
    """Split NAME=KIND; a path may hold an equals sign of its own."""
    name, _, kind = text.rpartition("=")
    return (name, kind) if name and kind in ("text", "image") else (text, "text")


def _questions(
    rules: Protocol, data: Path, count: int, seed: int
) -> list[tuple[ProtocolMixture, ProtocolSource, ProtocolSource]]:
    """The first mixtures of the list, each with the source that is asked for and the other one."""
    mixtures = list(itertools.islice(rules.pairs(data, seed), count))
    if len(mixtures) < count:
        raise ConfigError(
            f"--count must be at most {len(mixtures)}, the number of mixtures of protocol '{rules.name}', got {count}"
        )
    if any(len(mixture.sources) != 2 or mixture.interference is not None for mixture in mixtures):
        raise ConfigError(
            f"protocol '{rules.name}': the test asks about mixtures of two sounds and nothing else; choose another "
            "protocol"
        )
    asked = np.random.default_rng(seed).integers(2, size=count)
    return [
        (mixture, mixture.sources[index], mixture.sources[1 - index])
        for mixture, index in zip(mixtures, asked, strict=True)
    ]


def _mixture_audio(rules: Protocol, mixture: ProtocolMixture) -> Audio:
    """The sum of the sources as the protocol has them."""
    rate = rules.signal.sample_rate_hz
    clip_samples = None if rules.whole_clips else rules.signal.clip_samples
    sources = mix(mixture.sources, rules.level_db, rate, clip_samples=clip_samples)
    return Audio(np.asarray(sources.sum(axis=0, keepdims=True), np.float32), rate)


def _query(rules: Protocol, source: ProtocolSource, kind: str) -> Query:
    """What a model is asked for a source: its name, or the picture in the middle of the stretch that is heard."""
    if kind == "text":
        return Query(source.label, text=source.label)
    segment_seconds = None if rules.whole_clips else rules.signal.clip_samples / rules.signal.sample_rate_hz
    if source.picture is not None:
        return Query(source.label, image=read_frames(source.picture, [probe(source.picture).duration_seconds / 2])[0])
    return Query(source.label, image=read_frames(source.path, [sum(bounds_seconds(source, segment_seconds)) / 2])[0])


def _separated(separator: Separator, sound: Audio, label: str, query: Query) -> Audio:
    """What the model makes of a mixture when it is asked for one source."""
    return separator.separate(sound, [query]).stems[label].audio
