"""The packets of an audio stream → float32 samples [C, n] at their place in time. Only audio.py imports this file.

It neither resamples nor mixes channels down, and it reads a picture only for its time stamps.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from jaxtyping import Float32

from trisep.errors import MediaError
from trisep.media.audio_frames import FrameConverter, quietly_decoded, scaled
from trisep.media.bounds import LATEST_SECONDS, LONGEST_HOLE_SECONDS, require_sound
from trisep.media.layouts import USUAL
from trisep.media.probe import declared_seconds, open_media, picture_streams, timeline_start_seconds
from trisep.media.wav_header import declared_frames

_GAP_SECONDS = 0.1
"""Time stamps that stray less than this are jitter (Matroska rounds to a millisecond); more is a hole."""
_PREROLL_SECONDS = 1.0
"""Codecs need some packets before a cut to settle: bit reservoir of MP3, overlap of AAC, 80 ms of Opus."""
_LIBSNDFILE_SAMPLES = 65536
_TOLERATED_SHARE, _TOLERATED_SECONDS = 0.01, 0.1
_ESTIMATING_FORMATS = frozenset(
    {"mp3", "aac", "ac3", "eac3", "dts", "dtshd", "truehd", "amr", "loas", "mpegts", "mpeg"}
)
"""Formats whose duration is FFmpeg's guess from size and bit rate or from what is left of the file; it proves no loss.
"""


@dataclass(frozen=True, slots=True)
class AudioFacts:
    """What must be known of an audio stream before it is decoded."""

    path: Path
    stream: int
    """Index among the audio streams of the file."""
    sample_rate_hz: int
    num_channels: int
    layout: str
    """FFmpeg's name of where the channels are heard."""
    num_streams: int
    """How many audio streams the file has."""
    zero_seconds: float
    """Time stamp of time zero."""
    declared_samples: int | None
    """End of the stream on the timeline, as the container declares it."""
    total_samples: int | None
    """End of the longest stream, as the container declares it."""
    hole_limit_samples: int
    """Holes are filled up to here: the declared end or FFmpeg's estimate of it. Beyond it lie only broken time stamps.
    """
    can_seek: bool
    """Whether time stamps are fine enough to find a sample after a seek."""
    holes_are_losses: bool
    """Whether a hole can only be damage, since the format has no pauses (flac and ogg without a picture)."""
    trims_end: bool
    """Whether the declared end is exact, so that an encoder's padding after it is dropped (the mp4 family)."""
    by_libsndfile: bool = False
    """Whether FFmpeg finds nothing in the file, and libsndfile does."""


def read_facts(path: Path, stream: int | None) -> AudioFacts:
    """Open a file and decode the first frame of one of its audio streams.

    None takes the stream that is flagged as the default, else the first; where that cannot be decoded, the first that
    can. Raises MediaError when there is no such stream, no decoder for it, or no frame in it that decodes.
    """
    with open_media(path) as container:
        order = _order(container, path, stream)
        try:
            return _facts_of(container, path, order[0])
        except MediaError as error:
            failure = error
    for other in order[1:]:
        with suppress(MediaError), open_media(path) as container:
            return _facts_of(container, path, other)
    raise failure


def _order(container: InputContainer, path: Path, stream: int | None) -> list[int]:
    """List the audio streams in the order in which they are tried; MediaError where there is none of that number."""
    num_streams = len(container.streams.audio)
    if not num_streams:
        raise MediaError(f"{path}: holds no sound; give a file with a sound track")
    if stream is not None:
        if stream >= num_streams:
            raise MediaError(
                f"{path}: has {num_streams} stream(s) of sound, numbered from 0; there is no stream {stream}"
            )
        return [stream]
    defaults = [bool(track.disposition & Disposition.default) for track in container.streams.audio]
    return sorted(range(num_streams), key=lambda index: not defaults[index])


def _facts_of(container: InputContainer, path: Path, stream: int) -> AudioFacts:
    """Describe one audio stream; its first frame is decoded."""
    track = _select(container, path, stream)
    rate, num_channels = track.codec_context.sample_rate, track.codec_context.layout.nb_channels
    require_sound(path, rate, num_channels)
    first = _first_time_seconds(container, track)
    if first is None:
        found = _libsndfile_facts(path) if len(container.streams) == 1 else None
        if found is None:
            raise MediaError(
                f"{path}: nothing of its sound can be decoded; the file is damaged or cut off: get a complete copy"
            )
        return found
    start = timeline_start_seconds(container) if picture_streams(container) else first
    # What the first frame says counts: some containers declare less.
    rate, num_channels = track.codec_context.sample_rate, track.codec_context.layout.nb_channels
    require_sound(path, rate, num_channels)
    formats = set(container.format.name.split(","))
    estimated = bool(formats & _ESTIMATING_FORMATS)
    declared = None if estimated else declared_seconds(track)
    if "wav" in formats:
        declared = max(declared or 0.0, (declared_frames(path) or 0) / rate) or None
    total = None if container.duration is None else container.duration / av.time_base
    return AudioFacts(
        path=path,
        stream=stream,
        sample_rate_hz=rate,
        num_channels=num_channels,
        layout=track.codec_context.layout.name,
        num_streams=len(container.streams.audio),
        zero_seconds=min(start, first),
        declared_samples=None if declared is None else round((declared + max(0.0, first - start)) * rate),
        total_samples=None if total is None or estimated else round(total * rate),
        hole_limit_samples=round(max(total or 0.0, declared or 0.0) * rate),
        can_seek=track.time_base is not None and float(track.time_base) * rate <= 1.0,
        holes_are_losses=bool(formats & {"flac", "ogg"}) and not picture_streams(container),
        trims_end="mp4" in formats,
    )


def _libsndfile_facts(path: Path) -> AudioFacts | None:
    """Describe a sound that libsndfile reads; None where it does not either."""
    try:
        info = soundfile.info(str(path))
    except soundfile.SoundFileError:
        return None
    require_sound(path, info.samplerate, info.channels)
    declared = max(info.frames, declared_frames(path) or 0)
    return AudioFacts(
        path=path,
        stream=0,
        sample_rate_hz=info.samplerate,
        num_channels=info.channels,
        layout=USUAL.get(info.channels, ""),
        num_streams=1,
        zero_seconds=0.0,
        declared_samples=declared,
        total_samples=declared,
        hole_limit_samples=info.frames,
        can_seek=True,
        holes_are_losses=True,
        trims_end=False,
        by_libsndfile=True,
    )


def decoded_blocks(
    facts: AudioFacts, *, start_samples: int, stop_samples: int | None, allow_truncated: bool
) -> Iterator[Float32[np.ndarray, "C n"]]:
    """Yield the samples from `start_samples` up to `stop_samples` (None: the end), in pieces as they are decoded.

    The errors are those of `stream_audio`.
    """
    if facts.by_libsndfile:
        yield from _libsndfile_blocks(facts, start_samples, stop_samples, allow_truncated)
        return
    seek_seconds = min(start_samples / facts.sample_rate_hz - _PREROLL_SECONDS, LATEST_SECONDS)
    attempts = [seek_seconds, None] if facts.can_seek and seek_seconds > 1.0 else [None]
    for attempt in attempts:
        with open_media(facts.path) as container:
            timeline = _Timeline(facts, start_samples, stop_samples, allow_truncated)
            pieces = timeline.pieces(container, attempt)
            first = next(pieces, None)
            if first is None and attempt is not None and not timeline.landed_early:
                # The seek overshot: read from the beginning instead.
                continue
            if first is not None:
                yield first
                yield from pieces
            return


@dataclass(slots=True)
class _Timeline:
    """Places decoded frames in time, fills holes, cuts the section out, and counts what is lost."""

    facts: AudioFacts
    start_samples: int
    stop_samples: int | None
    allow_truncated: bool
    landed_early: bool = True
    """Whether the first frame after a seek began at or before the start."""
    _position: int | None = None
    _lost_samples: float = 0.0
    _after_loss: bool = False
    _furthest_seconds: float = 0.0
    _padding: list[Float32[np.ndarray, "C n"]] = field(default_factory=list)

    def pieces(self, container: InputContainer, seek_seconds: float | None) -> Iterator[Float32[np.ndarray, "C n"]]:
        """Yield the samples of the section in order; end at once, `landed_early` false, when the seek overshot."""
        track = _select(container, self.facts.path, self.facts.stream)
        if seek_seconds is None:
            self._position = 0
        else:
            try:
                container.seek(int((seek_seconds + self.facts.zero_seconds) / float(track.time_base)), stream=track)
            except FFmpegError:
                self.landed_early = False
                return
        for time_seconds, samples in self._timed_samples(container, track):
            if self._position is None:
                self._position = (
                    0
                    if time_seconds is None
                    else round((time_seconds - self.facts.zero_seconds) * self.facts.sample_rate_hz)
                )
                if time_seconds is None or self._position > self.start_samples:
                    self.landed_early = False
                    return
                # What was undecodable before the first frame lies in the run-up.
                self._lost_samples = 0.0
            for begin, part in self._placed(time_seconds, samples):
                piece = part[
                    :,
                    max(0, self.start_samples - begin) : None
                    if self.stop_samples is None
                    else max(0, self.stop_samples - begin),
                ]
                if piece.shape[1]:
                    yield piece
            if self.stop_samples is not None and self._position >= self.stop_samples:
                return
        self.check_end()

    def _placed(
        self, time_seconds: float | None, samples: Float32[np.ndarray, "C n"]
    ) -> Iterator[tuple[int, Float32[np.ndarray, "C n"]]]:
        """Give samples their position: right after the last ones, or after a hole that is filled with zeros."""
        parts = [*self._padding, samples]
        self._padding = []
        hole = self._hole_samples(time_seconds) - sum(part.shape[1] for part in parts[:-1])
        silence = np.zeros((self.facts.num_channels, max(0, min(hole, self.facts.sample_rate_hz))), np.float32)
        while hole > 0:
            parts.insert(-1, silence[:, :hole])
            hole -= silence.shape[1]
        end = self.facts.declared_samples
        for part in parts:
            begin = self._position or 0
            if part is samples and self.facts.trims_end and end is not None and begin < end < begin + part.shape[1]:
                # Padding of the encoder, unless more sound follows: then it comes out with the next frame.
                self._padding = [part[:, end - begin :]]
                part = part[:, : end - begin]
            self._position = begin + part.shape[1]
            yield begin, part

    def _hole_samples(self, time_seconds: float | None) -> int:
        """Count the samples that are missing before a frame with this time stamp; MediaError when they are too many."""
        if time_seconds is None:
            return 0
        position = self._position or 0
        hole = round((time_seconds - self.facts.zero_seconds) * self.facts.sample_rate_hz) - position
        exact = self._after_loss or position == 0
        self._after_loss = False
        if (
            hole <= (0 if exact else _GAP_SECONDS * self.facts.sample_rate_hz)
            or position + hole > self.facts.hole_limit_samples
        ):
            return 0
        if hole > LONGEST_HOLE_SECONDS * self.facts.sample_rate_hz:
            raise MediaError(
                f"{self.facts.path}: its sound pauses for {hole / self.facts.sample_rate_hz:.0f} s at "
                f"{position / self.facts.sample_rate_hz:.1f} s, at most {LONGEST_HOLE_SECONDS:g} s are filled with "
                "silence; its time stamps are damaged, or cut the file there"
            )
        if self.facts.holes_are_losses and not exact:
            self._lost_samples += hole
        return hole

    def _timed_samples(
        self, container: InputContainer, track: Any
    ) -> Iterator[tuple[float | None, Float32[np.ndarray, "C n"]]]:
        """Decode the stream and count what fails; video packets only tell how far the file reaches."""
        pictures = picture_streams(container) if self.facts.declared_samples is None else []
        converter = FrameConverter(self.facts.path, self.facts.sample_rate_hz, self.facts.num_channels)
        packets = container.demux(track, *pictures)
        while True:
            try:
                packet = next(packets, None)
            except FFmpegError:
                # The container breaks off here; the check of the end says whether that is too early.
                return
            if packet is None:
                return
            if packet.pts is not None:
                end_seconds = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                self._furthest_seconds = max(self._furthest_seconds, end_seconds - self.facts.zero_seconds)
            if packet.stream.index != track.index:
                continue
            try:
                frames = packet.decode()
            except FFmpegError:
                self._count_loss(float((packet.duration or 0) * (packet.time_base or 0)))
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self._count_loss(frame.samples / self.facts.sample_rate_hz)
                time_seconds = (
                    None if frame.pts is None or frame.time_base is None else float(frame.pts * frame.time_base)
                )
                yield time_seconds, converter.samples(frame)

    def _count_loss(self, seconds: float) -> None:
        """Note that a packet was lost; raise MediaError when too much is lost."""
        self._after_loss = True
        # A packet without a length still counts: 20 ms is a usual one.
        self._lost_samples += (seconds or 0.02) * self.facts.sample_rate_hz
        if self.facts.declared_samples is not None:
            self._judge(self._lost_samples, self.facts.declared_samples)

    def skip_to(self, position: int) -> None:
        """Count samples that come from elsewhere as read."""
        self._position = position

    def check_end(self) -> None:
        """Compare, at the end of the file, what was decoded with what was declared."""
        position, rate = self._position or 0, self.facts.sample_rate_hz
        if self.facts.declared_samples is not None:
            declared, reached = self.facts.declared_samples, float(position)
        elif self.facts.total_samples is not None:
            declared, reached = self.facts.total_samples, max(float(position), self._furthest_seconds * rate)
        else:
            declared, reached = position, float(position)
        wanted = declared if self.stop_samples is None else min(declared, self.stop_samples)
        missing = max(0.0, wanted - max(reached, self.start_samples))
        self._judge(self._lost_samples + missing, declared)

    def _judge(self, lost_samples: float, declared_samples: int) -> None:
        """Raise MediaError when too much is lost."""
        rate = self.facts.sample_rate_hz
        if self.allow_truncated or lost_samples <= max(_TOLERATED_SHARE * declared_samples, _TOLERATED_SECONDS * rate):
            return
        raise MediaError(
            f"{self.facts.path}: {lost_samples / rate:.2f} s of {declared_samples / rate:.2f} s of sound cannot be "
            "decoded, "
            "the file is cut off or damaged; get a complete copy, or give --allow-truncated (allow_truncated=True)"
        )


def _libsndfile_blocks(
    facts: AudioFacts, start_samples: int, stop_samples: int | None, allow_truncated: bool
) -> Iterator[Float32[np.ndarray, "C n"]]:
    """Yield the samples of a section of a file that libsndfile reads."""
    timeline = _Timeline(facts, start_samples, stop_samples, allow_truncated)
    try:
        with soundfile.SoundFile(str(facts.path)) as file:
            timeline.skip_to(file.seek(min(start_samples, file.frames)))
            left = file.frames - file.tell() if stop_samples is None else max(0, stop_samples - start_samples)
            while left > 0 and len(raw := file.read(min(left, _LIBSNDFILE_SAMPLES), "float32", always_2d=True)):
                left -= len(raw)
                timeline.skip_to(file.tell())
                yield np.ascontiguousarray(scaled(raw.T, facts.path))
    except soundfile.SoundFileError:
        # The check of the end says whether that is too early.
        pass
    timeline.check_end()


def _select(container: InputContainer, path: Path, stream: int) -> Any:
    """Select an audio stream; MediaError for a codec that is unknown."""
    track = container.streams.audio[stream]
    if track.codec_context is None or not track.codec_context.sample_rate:
        raise MediaError(
            f"{path}: the codec of sound stream {stream} is unknown; convert the file to another format first"
        )
    return track


def _first_time_seconds(container: InputContainer, track: Any) -> float | None:
    """Decode the first frame and return its time stamp in seconds; None where no frame decodes."""
    frame = None
    with suppress(FFmpegError):
        frame = next(chain.from_iterable(map(quietly_decoded, container.demux(track))), None)
    if frame is None:
        return None
    return 0.0 if frame.pts is None or frame.time_base is None else float(frame.pts * frame.time_base)
