"""Separate: media → spectrogram; query → embedding; both → network → mask → waveform. Read it from the top.

`Separator.separate` keeps everything in memory, `Separator.separate_to_files` and the command write while they read;
both take their samples from one `SeparationRun`, which holds a segment at a time. A first pass measures the level; the
network reads the mixture brought to the level it was trained at, and the masks are applied to the mixture as it is.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from trisep.checkpoints.format import Checkpoint
from trisep.checkpoints.registry import load_named
from trisep.encoders import SharedEncoder, load_encoder
from trisep.encoders.lite import LiteEncoder
from trisep.errors import CheckpointError, ConfigError, MediaError, QueryError
from trisep.media.remux import VideoForm, video_form
from trisep.queries.embed import (
    EmbeddedQueries,
    as_queries,
    embed_queries,
    embed_queries_for,
    flattened,
    query_entry,
    split_words,
)
from trisep.queries.understanding import reasons_not_understood
from trisep.separation.examples import Examples, span_notes
from trisep.separation.infer import (
    MaskSegment,
    Network,
    SegmentPlan,
    core_frames,
    infer,
    measure_reach,
    plan_segments,
    plan_windows,
)
from trisep.separation.options import OutputOptions, SeparationOptions
from trisep.separation.owner import REPORT, from_here
from trisep.separation.precision import choose_precision, in_precision
from trisep.separation.presence import read_calibration, stem_evidence
from trisep.separation.source import Source, open_source
from trisep.separation.stems import SCHEMA, StemFiles, doubted, output_names, stem_entry
from trisep.separation.streaming import Progress, SeparationRun
from trisep.spectrogram.stft import num_frames
from trisep.types import Audio, MaskOutput, Query, Separation, SignalSettings

SEGMENT_SECONDS = 20.0
"""How much the network reads at once where nothing else is said."""
_SEGMENT_VALUES = 24_000_000
"""The default segment is shorter where mixture and stems of one would have more samples than this."""
_OPTIONS, _OUTPUTS = SeparationOptions(), OutputOptions()
_MEASURED: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()
"""How far networks look, in frames, of checkpoints whose cards do not say it."""


def load(
    name_or_path: str | Path = "default",
    *,
    device: str = "auto",
    encoder: SharedEncoder | None = None,
    packed: bool = False,
) -> "Separator":
    """A ready separator.

    Args:
        name_or_path: a model that comes with the package (see `trisep models`), or the folder of a checkpoint.
        device: auto (a GPU if there is one), cpu, cuda or mps.
        encoder: used in place of loading the one that the checkpoint names; it must have the same fingerprint.
        packed: kernels stored in 8 bits stay so: less memory, and a multiplication whenever a layer reads one.

    Raises:
        CheckpointError: unknown name, damaged checkpoint, a model that answers no query (PIT) or makes no masks
            (Wave-U-Net), or an encoder other than the one the model was trained with.
        ConfigError: the device is not there.
    """
    chosen = choose_device(device)
    checkpoint = load_named(name_or_path, packed=packed)
    contract, name = checkpoint.model.contract, f"{checkpoint.path}: {checkpoint.model_name}"
    if not contract.answers_queries:
        raise CheckpointError(
            f"{name} answers no query: which mask belongs to which source only somebody who knows the sources can "
            "tell; score it with `trisep evaluate`, or choose another model"
        )
    if contract.domain == "waveform":
        raise CheckpointError(f"{name} makes no masks to separate files by; score it with `trisep evaluate` alone")
    return Separator(checkpoint, encoder_of(checkpoint, encoder), device=chosen)


def encoder_of(checkpoint: Checkpoint, encoder: SharedEncoder | None = None) -> SharedEncoder:
    """The encoder that a model was trained with, loaded or given; CheckpointError where it is another one."""
    encoder = load_encoder(checkpoint.encoder) if encoder is None else encoder
    if encoder.fingerprint != checkpoint.encoder_fingerprint:
        raise CheckpointError(
            f"{checkpoint.path}: was trained with encoder '{checkpoint.encoder}' of fingerprint "
            f"{checkpoint.encoder_fingerprint[:12]}, here is '{encoder.name}' of {encoder.fingerprint[:12]}; use the "
            "version of trisep that made it, or train again"
        )
    return encoder


def choose_device(name: str) -> torch.device:
    """`auto` is cuda, else mps, else cpu. ConfigError when a named device is not there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    found = [device for device, is_there in there.items() if is_there]
    if name != "auto" and name not in found:
        raise ConfigError(f"device '{name}' is not available here: expected auto or one of {', '.join(found)}")
    return torch.device(found[0] if name == "auto" else name)


def plan_for(
    checkpoint: Checkpoint,
    network: Network,
    num_samples: int,
    *,
    segment_seconds: float = SEGMENT_SECONDS,
    device: torch.device | str,
) -> SegmentPlan:
    """The segments in which a model reads a sound of so many samples at its own rate.

    How far the network looks stands in the card of a checkpoint. Where it does not, it is measured once, if a sound is
    longer than one segment.
    """
    signal, contract = checkpoint.signal, checkpoint.model.contract
    if not contract.is_shift_equivariant:
        return plan_windows(signal, time_multiple=contract.time_multiple)
    core, reach = core_frames(signal, segment_seconds, contract.time_multiple), checkpoint.reach_frames
    if num_frames(num_samples, signal) <= core:
        reach = 0
    elif reach is None:
        if checkpoint.model not in _MEASURED:
            _MEASURED[checkpoint.model] = measure_reach(network, time_multiple=contract.time_multiple, device=device)
        reach = _MEASURED[checkpoint.model]
    return plan_segments(
        signal, segment_seconds=segment_seconds, reach_frames=reach, time_multiple=contract.time_multiple
    )


def network_of(checkpoint: Checkpoint, queries: EmbeddedQueries) -> Network:
    """A model that is asked certain queries, as a function of the spectrogram alone."""

    def network(log_magnitude: Float[Tensor, "B 1 256 T"]) -> MaskOutput:
        """All queries [Q] in one run."""
        with torch.inference_mode():
            return queries.ask(checkpoint.model, log_magnitude)

    return network


class Separator:
    """A model and its encoder. `trisep.load` makes one."""

    def __init__(self, checkpoint: Checkpoint, encoder: SharedEncoder, *, device: torch.device | str = "cpu") -> None:
        """Moves the model to `device`."""
        self.checkpoint = checkpoint
        self.encoder = encoder
        self.device = torch.device(device)
        self.model: Any = checkpoint.model.to(self.device)
        self.calibration = read_calibration(checkpoint.card)
        self._examples = Examples(encoder, self._hear, self.signal, is_vector=checkpoint.learned_from_sounds)

    @property
    def signal(self) -> SignalSettings:
        """The model's signal chain."""
        return self.checkpoint.signal

    def embed(self, queries: Sequence[Query]) -> Float[Tensor, "Q D"]:
        """Words, pictures and videos in the encoder's space, one vector each; a place lies in a file, which `separate`
        knows.
        """
        return embed_queries(self.encoder, queries, device=self.device).vectors

    def separate(
        self, source: Path | str | Audio, queries: Sequence[str | Query], options: SeparationOptions = _OPTIONS
    ) -> Separation:
        """Separate a file or a sound, everything in memory.

        Args:
            source: a file with sound, or samples.
            queries: what to separate, in words or as `Query`; `stems` of the result are named after them (a name twice:
                `_2`). A place lies in the picture of `source`; the frames that were looked at for it are the result's
                `frames`.
            options: how.

        Raises:
            MediaError: the file cannot be read or holds no sound. QueryError: no query, an empty one, or a place
                outside the picture.
        """
        wanted = self._wanted(queries)
        running = self.start(source, wanted, options)
        parts = list(running.segments())
        samples = np.concatenate([part.stems for part in parts], axis=-1)
        reasons = self.reasons_not_understood(wanted)
        stems = running.stems([query.name for query in wanted], self.calibration, options.threshold, samples)
        stems = doubted(stems, reasons)
        rate = running.source.sample_rate_hz
        return Separation(
            stems={stem.query: stem for stem in stems},
            residual=Audio(np.concatenate([part.residual for part in parts], axis=-1), rate),
            mixture=Audio(np.concatenate([part.mixture for part in parts], axis=-1), rate),
            masks=torch.cat([part.masks for part in parts], dim=-1).cpu().numpy(),
            frames=running.queries.frames,
            frame_times_seconds=running.queries.frame_times_seconds,
            source=running.source.path,
            notes=(*running.notes(), *self._notes(wanted, reasons, options)),
        )

    def separate_to_files(
        self,
        source: Path | str | Audio | Source,
        queries: Sequence[str | Query],
        out_dir: Path | str,
        options: SeparationOptions = _OPTIONS,
        outputs: OutputOptions = _OUTPUTS,
        *,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Separate sound of any length, a segment in memory, into a file per query and report.json, which is returned.

        `progress` is told how far it is. Raises what `separate` raises, and MediaError when `out_dir` cannot be
        written; then nothing is left behind.
        """
        wanted = self._wanted(queries)
        names = output_names([query.name for query in wanted])
        written = [*names, *(removed := outputs.parts_removed)]
        opened = self._opened(source, options)
        layout: Any = {name: getattr(opened, name) for name in ("sample_rate_hz", "num_channels", "layout")}
        video = _video_form(opened, options) if outputs.into_video else None
        whose: Any = {"source": opened.path, "sha256": opened.sha256 and opened.sha256(), "replaces": outputs.replaces}
        unopened = StemFiles(Path(out_dir), written, outputs.form, **layout, **whose, video=video)
        unopened.require_room(opened.declared_samples)
        running = self.start(opened, wanted, options)
        with unopened as files:
            for segment in running.segments(progress):
                files.write(dict(zip(written, [*segment.stems, *map(segment.without, removed.values())], strict=True)))
            reasons = self.reasons_not_understood(wanted)
            stems = running.stems([query.name for query in wanted], self.calibration, options.threshold)
            report = {"schema": SCHEMA, **running.facts(), **from_here(files.folder, opened.path, opened.title)}
            report |= {**self._entries(), "precision": choose_precision(options.precision, self.device)}
            rows = zip(doubted(stems, reasons), names, wanted, reasons, strict=True)
            report["stems"] = [
                {
                    **stem_entry(stem, files.names[name]),
                    "share": running.share(stem.level_db),
                    **query_entry(query),
                    "understood": reason is None,
                }
                for stem, name, query, reason in rows
            ]
            named = {name: files.names.get(name) for name in ("residual", "without")}
            report |= {**named, "residual_share": running.residual_share(), "gain_db": files.finish()}
            report["notes"] = [*running.notes(), *self._notes(wanted, reasons, options), *files.replaced()]
            if video is not None:
                shown = [*names, *(["without"] if outputs.remove else [])]
                report["videos"] = files.write_videos(shown, bits_per_second=outputs.audio_bitrate)
            files.write_json(REPORT, report)
        return report

    def presence_features(
        self, source: Path | str | Audio, queries: Sequence[str | Query], references: Sequence[str] = ()
    ) -> list[dict[str, float]]:
        """All features that presence can be computed from, per query as if it were the only one: what a calibration is
        fitted on.
        """
        options = SeparationOptions(exclusive=False)
        running = self.start(source, as_queries(queries), options, references=references, hears=True)
        for _ in running.segments():
            continue
        return list(running.features())

    def start(
        self,
        source: Path | str | Audio | Source,
        queries: Sequence[Query],
        options: SeparationOptions = _OPTIONS,
        *,
        references: Sequence[str] | None = None,
        hears: bool | None = None,
    ) -> SeparationRun:
        """Open and survey the source, embed the queries, plan the segments; `references` are words that presence
        compares with, `hears` says whether stems and mixture are heard. For None, the calibration says it.
        """
        hears = self.calibration.with_evidence is not None if hears is None else hears
        opened = self._opened(source, options)
        names = self.calibration.reference_queries if references is None else references
        parts, groups = flattened(queries)
        opened = replace(opened, notes=(*opened.notes, *span_notes(parts, opened, options.start_seconds)))
        negatives, _ = flattened(self._wanted(options.negatives) if options.negatives else [])
        own = [self.listened(query, opened, options) for query in (*parts, *negatives)]
        asked = [*own, *(Query(name, text=name) for name in names)]
        embedded = embed_queries_for(self.checkpoint, self.encoder, asked, source=opened.path, device=self.device)
        network = in_precision(network_of(self.checkpoint, embedded), options.precision, self.device)
        evidence = stem_evidence(self.encoder, parts, groups) if hears else None
        if isinstance(self.encoder, LiteEncoder):
            self.encoder.release_text_tower()
        seconds = options.segment_seconds or _segment_seconds(opened, len(queries))

        def plan(num_samples: int) -> SegmentPlan:
            """The segments of a sound of so many samples at the rate of the model."""
            return plan_for(self.checkpoint, network, num_samples, segment_seconds=seconds, device=self.device)

        return SeparationRun(
            opened,
            network,
            self.signal,
            plan,
            queries=embedded,
            num_queries=len(own),
            groups=groups,
            above_nyquist=options.above_nyquist,
            exclusive=options.exclusive,
            evidence=evidence,
            device=self.device,
        )

    def listened(self, query: Query, source: Source, options: SeparationOptions = _OPTIONS) -> Query:
        """A sound, or a span of the source, as the vector of what the separator hears in it, any other query as it is.

        Raises QueryError where nothing is to be heard, or for a model that reads no vectors.
        """
        if query.sound is None and query.span is None:
            return query
        reads = self.model.contract.reads
        if reads not in ("vectors", "regions"):
            raise QueryError(f"query '{query.name}': a model that reads {reads} takes no sound; choose another --model")
        vector = self._examples.vector(
            query, source, start_seconds=options.start_seconds, allow_truncated=options.allow_truncated
        )
        return Query(query.name, vector=vector)

    def reasons_not_understood(self, queries: Sequence[str | Query]) -> list[str | None]:
        """Why each query is not understood, None where it is; a model that learned labels refuses all others itself."""
        if self.checkpoint.model.contract.reads == "labels":
            return [None] * len(queries)
        return reasons_not_understood(self.encoder, self._wanted(queries) if queries else [])

    def _notes(self, queries: Sequence[Query], reasons: Sequence[str | None], options: SeparationOptions) -> list[str]:
        """A line for each query that is not understood, and for each of what is not wanted."""
        negatives = as_queries(options.negatives) if options.negatives else []
        names = [f"'{query.name}'" for query in queries] + [f"--not '{query.name}'" for query in negatives]
        told = zip(names, [*reasons, *self.reasons_not_understood(negatives)], strict=True)
        return [f"{name}: {reason}" for name, reason in told if reason is not None]

    def _wanted(self, queries: Sequence[str | Query]) -> list[Query]:
        """Queries as they are separated: words joined by "and" are several, but for a model that learned labels."""
        asked = as_queries(queries)
        return asked if self.model.contract.reads == "labels" else [split_words(query) for query in asked]

    def _opened(self, source: Path | str | Audio | Source, options: SeparationOptions) -> Source:
        """The section of the source that is separated."""
        return open_source(
            source,
            stream=options.stream,
            start_seconds=options.start_seconds,
            duration_seconds=options.duration_seconds,
            allow_truncated=options.allow_truncated,
        )

    def _hear(self, sound: Float32[np.ndarray, "S"], vectors: Float[Tensor, "n D"]) -> MaskSegment:
        """The masks of many vectors for a short sound at the rate of the model."""
        network = network_of(self.checkpoint, EmbeddedQueries(vectors.to(self.device), tuple(range(len(vectors)))))
        plan = plan_for(self.checkpoint, network, len(sound), device=self.device)
        return infer(sound, network, self.signal, plan, device=self.device)

    def _entries(self) -> dict[str, Any]:
        """What the report says of the model and the encoder."""
        checkpoint, encoder = self.checkpoint, self.encoder
        return {
            "model": {"name": checkpoint.model_name, "path": checkpoint.path.name, "step": checkpoint.card.get("step")},
            "encoder": {"name": encoder.name, "fingerprint": encoder.fingerprint},
        }


def _segment_seconds(source: Source, num_queries: int) -> float:
    """20 s, less for many queries, channels or samples per second."""
    return min(SEGMENT_SECONDS, _SEGMENT_VALUES / (source.sample_rate_hz * source.num_channels * (num_queries + 1)))


def _video_form(source: Source, options: SeparationOptions) -> VideoForm:
    """Choose how the source's video is written with another sound; MediaError where there is none, ConfigError where
    only a section is separated.
    """
    if options.start_seconds or options.duration_seconds is not None:
        raise ConfigError("the video comes back whole: leave out its start and duration, or do without the video")
    if source.path is None:
        raise MediaError("a sound in memory has no picture to put the stems under; give the path of a video")
    return video_form(source.path, stream=source.stream, num_channels=source.num_channels)
