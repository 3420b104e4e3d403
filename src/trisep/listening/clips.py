"""The sounds of a listening test and what the key holds of them.

They are read from files, or separated here from mixtures of a protocol.
"""

import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trisep.checkpoints.registry import available_models
from trisep.errors import ConfigError, TrisepError, shown
from trisep.evaluation.sounds import bounds_seconds, mix
from trisep.listening.key import BOTH, NONE, read_table
from trisep.media.audio import read_audio
from trisep.media.probe import probe
from trisep.media.video import read_frames
from trisep.protocols import Protocol, ProtocolMixture, ProtocolSource
from trisep.protocols import protocol as protocol_named
from trisep.separation.batch import reason_of
from trisep.separation.separator import Separator, load
from trisep.types import Audio, Query

QUERY_KINDS = ("image", "text", "mixture")
_COLUMNS = ("model", "query_kind", "file", "label_a", "label_b")


@dataclass(frozen=True, kw_only=True, slots=True)
class ListeningClip:
    """One sound that raters judge."""

    model: str
    query_kind: str
    """image, text or mixture."""
    label_a: str
    """Name of the target sound."""
    label_b: str
    """Name of the other sound of the mixture."""
    file: str
    """Where the clip came from, for the key."""
    audio: Audio
    """Mono sound; all clips of a test have one sample rate, so that the rate does not reveal the model."""

    def __post_init__(self) -> None:
        """Raise ConfigError for names that are equal, empty or like other answers, and for an unknown kind of query."""
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
    """Read the clips that a table lists.

    Args:
        path: CSV with the columns model, query_kind (image, text or mixture), file (relative to the table), label_a
            (the target sound), label_b; or a folder that holds it as samples.csv. Sounds are brought to the highest
            sample rate among them.

    Raises:
        ConfigError: a column, file or name is missing or invalid.
        MediaError: a sound cannot be read.
    """
    table = path / "samples.csv" if path.is_dir() else path
    rows = read_table(table, _COLUMNS)
    files = [table.parent / row["file"] for row in rows]
    try:
        tracks = [probe(file).audio for file in files]
        silent = [file for file, streams in zip(files, tracks, strict=True) if not streams]
        if silent:
            raise ConfigError(f"{silent[0]}: holds no sound; give separated clips")
        rate = max(streams[0].sample_rate_hz for streams in tracks)
        return [
            ListeningClip(
                **{name: row[name] for name in _COLUMNS}, audio=read_audio(file, sample_rate_hz=rate, mono=True)
            )
            for row, file in zip(rows, files, strict=True)
        ]
    except TrisepError as error:
        raise type(error)(f"{table}: {error}") from error


def clips_from_models(
    models: Sequence[str],
    data: Path,
    *,
    protocol_name: str = "avmini",
    count: int = 10,
    seed: int = 0,
    device: str = "auto",
) -> Iterator[ListeningClip]:
    """Yield `count` mixtures as they are, and each model's stem of one of their two sounds.

    A text query is the name of that sound, an image query is the middle frame of its video. Every model gets the same
    mixtures and the same targets, so that rows of the table differ by the model only; the paper does not say how this
    was done.

    Args:
        models: a model's name or checkpoint, optionally followed by `=text` or `=image`; text is the default.
        data: folder of the protocol's clips.
        protocol_name: the protocol whose mixtures are used; they must have two sources and nothing else.
        count: number of mixtures.
        seed: seed of the protocol's list, whose first mixtures are used, and of the target in each mixture.
        device: auto, cpu, cuda or mps.

    Raises:
        ConfigError: a model is named twice, or the protocol has too few mixtures, or mixtures of another kind.
        CheckpointError: a model cannot be read.
        MediaError: a clip cannot be read.
    """
    systems = [_model_and_kind(model) for model in models]
    if len(set(systems)) < len(systems):
        raise ConfigError(f"--model: expected each model once for each kind of query, got {', '.join(models)}")
    protocol = protocol_named(protocol_name)
    questions = _questions(protocol, data, count, seed)
    sounds = [_mixture_audio(protocol, mixture) for mixture, _, _ in questions]
    for name, kind in [("mixture", "mixture"), *systems]:
        separator = load(name, device=device) if kind != "mixture" else None
        for (mixture, target, other), sound in zip(questions, sounds, strict=True):
            audio = (
                sound
                if separator is None
                else _separated(separator, sound, target.label, _query(protocol, target, kind))
            )
            file = f"{protocol_name} mixture {mixture.index}"
            yield ListeningClip(
                model=name, query_kind=kind, label_a=target.label, label_b=other.label, file=file, audio=audio
            )


def _model_and_kind(text: str) -> tuple[str, str]:
    """Split NAME=KIND; a path may hold an equals sign of its own."""
    name, _, kind = text.rpartition("=")
    if name in available_models() and kind not in ("text", "image"):
        raise ConfigError(f"--model {text}: expected the kind of query after =, text or image, got {kind!r}")
    return (name, kind) if name and kind in ("text", "image") else (text, "text")


def _questions(
    protocol: Protocol, data: Path, count: int, seed: int
) -> list[tuple[ProtocolMixture, ProtocolSource, ProtocolSource]]:
    """Return the first mixtures of the list, each with its target source and the other source."""
    mixtures = list(itertools.islice(protocol.pairs(data, seed), count))
    if len(mixtures) < count:
        raise ConfigError(
            f"--count must be at most {len(mixtures)}, the number of mixtures of protocol '{protocol.name}', got "
            f"{count}"
        )
    if any(len(mixture.sources) != 2 or mixture.interference is not None for mixture in mixtures):
        raise ConfigError(
            f"protocol '{protocol.name}': the test needs mixtures of two sounds and nothing else; choose another "
            "protocol"
        )
    targets = np.random.default_rng(seed).integers(2, size=count)
    return [
        (mixture, mixture.sources[index], mixture.sources[1 - index])
        for mixture, index in zip(mixtures, targets, strict=True)
    ]


def _mixture_audio(protocol: Protocol, mixture: ProtocolMixture) -> Audio:
    """Return the sum of the sources at the levels of the protocol."""
    rate = protocol.signal.sample_rate_hz
    clip_samples = None if protocol.whole_clips else protocol.signal.clip_samples
    sources = mix(mixture.sources, protocol.level_db, rate, clip_samples=clip_samples)
    return Audio(np.asarray(sources.sum(axis=0, keepdims=True), np.float32), rate)


def _query(protocol: Protocol, source: ProtocolSource, kind: str) -> Query:
    """Make the query for a source: its name, or the picture in the middle of the segment that is in the mixture."""
    if kind == "text":
        return Query(source.label, text=source.label)
    signal = protocol.signal
    segment_seconds = None if protocol.whole_clips else signal.clip_samples / signal.sample_rate_hz
    if source.picture is not None:
        return Query(source.label, image=read_frames(source.picture, [probe(source.picture).duration_seconds / 2])[0])
    return Query(source.label, image=read_frames(source.path, [sum(bounds_seconds(source, segment_seconds)) / 2])[0])


def _separated(separator: Separator, sound: Audio, label: str, query: Query) -> Audio:
    """Return the stem that the model separates from a mixture for this query; warn where it is not understood."""
    separation = separator.separate(sound, [query])
    if (reason := reason_of(label, separation.notes)) is not None:
        print(f"trisep: warning: {shown(label)}: {reason}", file=sys.stderr)
    return separation.stems[label].audio
