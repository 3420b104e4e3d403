"""Separate: media → spectrogram; query → embedding; both → network → mask → waveform. Read it from the top.

`Separator.separate` keeps everything in memory, `Separator.separate_to_files` and the command write while they read; both take their
samples from one `SeparationRun`, which holds a segment at a time. A first pass measures the level; the network reads the mixture brought
to the level it was trained at, and the masks are applied to the mixture as it is.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from trisep.arguments.separation import SeparateArguments
from trisep.batch import separate_batch
from trisep.catalogue import checkpoint_folder
from trisep.checkpoint import Checkpoint, load_model
from trisep.encoders import SharedEncoder, load_encoder
from trisep.errors import CheckpointError, ConfigError
from trisep.media.image import read_image
from trisep.places import box_query, region_query
from trisep.presence import read_calibration
from trisep.queries import EmbeddedQueries, as_queries, embed_queries, embed_queries_for, probing_query, query_entry, video_query
from trisep.report import SCHEMA, output_names, stem_entry
from trisep.segments import Network, SegmentPlan, measure_reach, plan_segments
from trisep.separation_run import Progress, SeparationRun
from trisep.spectrogram.mask_grid import AboveNyquist
from trisep.stem_files import OutputFormat, StemFiles
from trisep.streaming import Source, open_source
from trisep.types import Audio, MaskOutput, Query, Separation, SignalSettings

_SEGMENT_SECONDS = 20.0
_SEGMENT_VALUES = 24_000_000
"""The default segment is shorter where mixture and stems of one would have more samples than this."""


def run(arguments: SeparateArguments) -> int:
    """`trisep separate`; returns the exit code: 0 all done, 1 some inputs skipped, 2 nothing done. Raises TrisepError for a user error."""
    queries = [Query(text, text=text) for text in arguments.queries]
    queries += [Query(path.stem, image=read_image(path)) for path in arguments.image]
    queries += [region_query(text) for text in arguments.region] + [box_query(text) for text in arguments.box]
    queries += [video_query(path) for path in arguments.video]
    separator = load(arguments.model, device=arguments.device)

    def separate(path: Path, folder: Path, progress: Progress) -> None:
        """One input into its folder."""
        separator.separate_to_files(
            path,
            queries,
            folder,
            residual=arguments.residual,
            remove=arguments.remove,
            format=arguments.format,
            threshold=arguments.threshold,
            segment_seconds=arguments.segment_seconds,
            allow_truncated=arguments.allow_truncated,
            exclusive=arguments.exclusive,
            progress=progress,
        )

    return separate_batch(arguments.inputs, arguments.out, separate)


def load(name_or_path: str | Path = "default", *, device: str = "auto", encoder: SharedEncoder | None = None) -> "Separator":
    """A ready separator.

    Args:
        name_or_path: a model that comes with the package (see `trisep models`), or the folder of a checkpoint.
        device: auto (a GPU if there is one), cpu, cuda or mps.
        encoder: used in place of loading the one that the checkpoint names; it must have the same fingerprint.

    Raises:
        CheckpointError: unknown name, damaged checkpoint, a model that answers no query (PIT), or an encoder other than the one the model
            was trained with.
        ConfigError: the device is not there.
    """
    chosen = choose_device(device)
    checkpoint = load_model(checkpoint_folder(name_or_path))
    if getattr(checkpoint.model, "oracle_assignment", False):
        raise CheckpointError(
            f"{checkpoint.path}: {checkpoint.model_name} answers no query: which of its masks is whose only somebody who knows the sources "
            "can tell; score it with `trisep evaluate`, or choose another model"
        )
    encoder = load_encoder(checkpoint.encoder) if encoder is None else encoder
    if encoder.fingerprint != checkpoint.encoder_fingerprint:
        raise CheckpointError(
            f"{checkpoint.path}: was trained with encoder '{checkpoint.encoder}' of fingerprint {checkpoint.encoder_fingerprint[:12]}, "
            f"here is '{encoder.name}' of {encoder.fingerprint[:12]}; use the version of trisep that made it, or train again"
        )
    return Separator(checkpoint, encoder, device=chosen)


def choose_device(name: str) -> torch.device:
    """`auto` is cuda, else mps, else cpu. ConfigError when a named device is not there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    found = [device for device, is_there in there.items() if is_there]
    if name != "auto" and name not in found:
        raise ConfigError(f"device '{name}' is not available here: expected auto or one of {', '.join(found)}")
    return torch.device(found[0] if name == "auto" else name)


class Separator:
    """A model and its encoder. `trisep.load` makes one."""

    def __init__(self, checkpoint: Checkpoint, encoder: SharedEncoder, *, device: torch.device | str = "cpu") -> None:
        """Moves the model to `device`."""
        self.checkpoint = checkpoint
        self.encoder = encoder
        self.device = torch.device(device)
        self.model: Any = checkpoint.model.to(self.device)
        self.calibration = read_calibration(checkpoint.card)

    @property
    def signal(self) -> SignalSettings:
        """The model's signal chain."""
        return self.checkpoint.signal

    @cached_property
    def reach_frames(self) -> int:
        """Half the model's receptive field in time, in frames, as measured on this model."""
        embedded = embed_queries_for(self.checkpoint, self.encoder, [probing_query(self.checkpoint)], device=self.device)
        return measure_reach(self._network(embedded), time_multiple=self.model.time_multiple, device=self.device)

    def embed(self, queries: Sequence[Query]) -> Float[Tensor, "Q D"]:
        """Words, pictures and videos in the encoder's space, one vector each; a place lies in a file, which `separate` knows."""
        return embed_queries(self.encoder, queries, device=self.device).vectors

    def separate(
        self,
        source: Path | str | Audio,
        queries: Sequence[str | Query],
        *,
        threshold: float | None = None,
        segment_seconds: float | None = None,
        stream: int = 0,
        allow_truncated: bool = False,
        above_nyquist: AboveNyquist = "top",
        exclusive: bool = True,
    ) -> Separation:
        """Separate a file or a sound, everything in memory.

        Args:
            source: a file with sound, or samples.
            queries: what to listen for, in words or as `Query`; `stems` of the result are named after them (a name twice: `_2`).
                A place lies in the picture of `source`; the frames that were looked at for it are the result's `frames`.
            threshold: presence below which a stem is flagged as absent; None takes the model's own.
            segment_seconds: how much the network reads at once; None chooses. Beyond rounding, the result does not depend on it.
            stream: which of the file's streams of sound.
            allow_truncated: accept a file that cannot be decoded to its end.
            above_nyquist: what masks are above half the model's sampling rate: `top` (average of the top band), `mute` or `keep`.
            exclusive: several queries share the sound out among themselves; False gives each what it would get if asked alone.

        Raises:
            MediaError: the file cannot be read or holds no sound. QueryError: no query, an empty one, or a place outside the picture.
        """
        wanted = as_queries(queries)
        opened = open_source(source, stream=stream, allow_truncated=allow_truncated)
        running = self.prepare(opened, wanted, segment_seconds=segment_seconds, above_nyquist=above_nyquist, exclusive=exclusive)
        parts = list(running.segments())
        samples = np.concatenate([part.stems for part in parts], axis=-1)
        stems = running.stems([query.name for query in wanted], self.calibration, threshold, samples)
        return Separation(
            stems={stem.query: stem for stem in stems},
            residual=Audio(np.concatenate([part.residual for part in parts], axis=-1), opened.sample_rate_hz),
            mixture=Audio(np.concatenate([part.mixture for part in parts], axis=-1), opened.sample_rate_hz),
            masks=torch.cat([part.masks for part in parts], dim=-1).cpu().numpy(),
            frames=running.frames,
            frame_times_seconds=running.frame_times_seconds,
            source=opened.path,
            notes=running.notes(),
        )

    def separate_to_files(
        self,
        source: Path | str | Audio,
        queries: Sequence[str | Query],
        out_dir: Path | str,
        *,
        residual: bool = True,
        remove: bool = False,
        format: OutputFormat = "wav",
        threshold: float | None = None,
        segment_seconds: float | None = None,
        stream: int = 0,
        allow_truncated: bool = False,
        above_nyquist: AboveNyquist = "top",
        exclusive: bool = True,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Separate sound of any length into one file per query and report.json, whose content is returned. One segment is in memory.

        `residual` also writes residual.wav, mixture − Σ stems; `remove` also writes without.wav, the mixture without any of the queries:
        the same samples, under the name one looks for. `format` is wav (32-bit float) or flac (24-bit, all files with one gain, in
        the report as `gain_db`, if any would clip). `progress` is told how far it is. The rest as in `separate`.

        Raises what `separate` raises, and MediaError when `out_dir` cannot be written; then nothing is left behind.
        """
        wanted = as_queries(queries)
        opened = open_source(source, stream=stream, allow_truncated=allow_truncated)
        running = self.prepare(opened, wanted, segment_seconds=segment_seconds, above_nyquist=above_nyquist, exclusive=exclusive)
        names = output_names([query.name for query in wanted])
        extra = [name for name, asked in (("residual", residual), ("without", remove)) if asked]
        rate, num_channels = opened.sample_rate_hz, opened.num_channels
        with StemFiles(Path(out_dir), [*names, *extra], sample_rate_hz=rate, num_channels=num_channels, format=format) as files:
            for segment in running.segments(progress):
                files.write({**dict(zip(names, segment.stems, strict=True)), **dict.fromkeys(extra, segment.residual)})
            gain_db = files.finish()
            stems = running.stems([query.name for query in wanted], self.calibration, threshold)
            report = {"schema": SCHEMA, **running.facts(), "model": self._model_entry(), "encoder": self._encoder_entry()}
            rows = zip(stems, names, wanted, strict=True)
            report["stems"] = [{**stem_entry(stem, files.names[name]), **query_entry(query)} for stem, name, query in rows]
            report |= {name: files.names.get(name) for name in ("residual", "without")}
            report |= {"gain_db": gain_db, "notes": list(running.notes())}
            files.write_json("report.json", report)
        return report

    def presence_features(
        self, source: Path | str | Audio, queries: Sequence[str | Query], references: Sequence[str] = ()
    ) -> list[dict[str, float]]:
        """The features that presence is computed from, per query: what a calibration is fitted on. No waveform is made."""
        running = self.prepare(open_source(source), as_queries(queries), references=references)
        for _ in running.mask_segments():
            continue
        return list(running.features())

    def prepare(
        self,
        source: Source,
        queries: Sequence[Query],
        *,
        segment_seconds: float | None = None,
        above_nyquist: AboveNyquist = "top",
        exclusive: bool = True,
        references: Sequence[str] | None = None,
    ) -> SeparationRun:
        """Embed the queries, plan the segments, survey the source."""
        names = self.calibration.reference_queries if references is None else references
        asked = [*queries, *(Query(name, text=name) for name in names)]
        embedded = embed_queries_for(self.checkpoint, self.encoder, asked, source=source.path, device=self.device)
        return SeparationRun(
            source,
            self._network(embedded),
            self.signal,
            self.plan(source, len(queries), segment_seconds),
            num_queries=len(queries),
            num_references=len(names),
            above_nyquist=above_nyquist,
            exclusive=exclusive,
            device=self.device,
            frames=embedded.frames,
            frame_times_seconds=embedded.frame_times_seconds,
        )

    def plan(self, source: Source, num_queries: int, segment_seconds: float | None) -> SegmentPlan:
        """Segments of a given length; by default 20 s, less for many queries, channels or samples per second."""
        if segment_seconds is None:
            values_per_second = source.sample_rate_hz * source.num_channels * (num_queries + 1)
            segment_seconds = min(_SEGMENT_SECONDS, _SEGMENT_VALUES / values_per_second)
        if not 0 < segment_seconds < math.inf:
            raise ConfigError(f"segment_seconds must be above 0 and finite, not {segment_seconds}")
        return plan_segments(
            self.signal, segment_seconds=segment_seconds, reach_frames=self.reach_frames, time_multiple=self.model.time_multiple
        )

    def _network(self, embedded: EmbeddedQueries) -> Network:
        """The model as a function of the spectrogram alone."""

        def network(log_magnitude: Float[Tensor, "B 1 256 T"]) -> MaskOutput:
            """All queries [Q] in one run."""
            with torch.inference_mode():
                return embedded.ask(self.model, log_magnitude)

        return network

    def _model_entry(self) -> dict[str, Any]:
        """What the report says of the model."""
        return {"name": self.checkpoint.model_name, "path": self.checkpoint.path.name, "step": self.checkpoint.card.get("step")}

    def _encoder_entry(self) -> dict[str, Any]:
        """What the report says of the encoder."""
        return {"name": self.encoder.name, "fingerprint": self.encoder.fingerprint}
