"""A video with its sound replaced, or its picture: all else is copied packet by packet, never encoded again.

The container is the one of the video where it can hold what is new, else Matroska, which holds everything. Nothing is
decoded here.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from av.container import InputContainer, OutputContainer
from av.stream import Disposition, Stream
from jaxtyping import UInt8

from trisep.errors import MediaError
from trisep.media.audio import read_facts, stream_audio, time_zero_seconds
from trisep.media.muxer import open_muxer, unwritten_muxer
from trisep.media.probe import open_media, picture_streams, timeline_start_seconds
from trisep.media.sound_track import AAC, OPUS, PCM, SoundCodec, SoundTrack
from trisep.media.video_writer import PictureTrack

_FAMILIES = (
    ("mov", (".mp4", ".m4v", ".mov", ".3gp")),
    ("matroska", (".mkv", ".webm")),
    ("avi", (".avi",)),
    ("mpegts", (".ts", ".mts", ".m2ts")),
)
"""A format as FFmpeg recognises it, and the suffixes that its files keep; the first stands for any other suffix."""
_SOUNDS = {".webm": OPUS, ".avi": PCM}
"""The codec of the new sound by suffix, AAC for any other. An AVI file has no place for the delay of a lossy codec."""
_WITHOUT_H264 = frozenset({".webm", ".avi"})
"""Suffixes of containers that hold no H.264, or no B-frames with it."""
_KEPT_TAGS = frozenset({"hvc1", "apch", "apcn", "apcs", "apco", "ap4h", "ap4x"})
"""Codes of a codec in a mov file without which some players show no picture, or which tell variants apart."""
_STALE_KEYS = frozenset(
    {"DURATION", "ENCODER", "MAJOR_BRAND", "MINOR_VERSION", "COMPATIBLE_BRANDS", "NUMBER_OF_BYTES", "NUMBER_OF_FRAMES"}
)
"""Metadata that speak of the old file as a file; the muxer writes its own."""
_MAX_REORDERED_FRAMES = 16
"""Limit of H.264 and HEVC: no frame is decoded more than so many frames before it is shown."""


@dataclass(frozen=True, slots=True)
class VideoForm:
    """How a video with another sound is written."""

    path: Path
    """The video."""
    stream: int
    """Its track of sound that is replaced, from 0."""
    suffix: str
    """Of the new file, and thereby its container."""
    codec: SoundCodec
    """Of the new sound."""
    left_out: tuple[str, ...]
    """What of the video the new file does not hold, in words."""


def video_form(video_path: Path, *, stream: int = 0, num_channels: int) -> VideoForm:
    """Choose container and codec for a video that is given a sound of so many channels; nothing is written.

    Raises MediaError when the video has no picture, or when the sound does not fit.
    """
    with open_media(video_path) as source:
        _require_picture(source, video_path)
        suffix = _own_suffix(source, video_path)
        suffix = suffix if _holds(source, video_path.with_suffix(suffix), picture_streams(source)) else ".mkv"
        codec = _SOUNDS.get(suffix, AAC)
        codec.require_channels(num_channels)
        with unwritten_muxer(video_path.with_suffix(suffix)) as container:
            copied = _copied_streams(source, container)
        return VideoForm(video_path, stream, suffix, codec, tuple(_left_out(source, copied)))


def replace_audio(
    video_path: Path,
    sound: Path,
    out_path: Path,
    *,
    gain: float = 1.0,
    stream: int = 0,
    bits_per_second: int | None = None,
) -> None:
    """Copy a video untouched, but for its sound: `sound`, a file, takes the place of all its tracks of sound.

    Pictures (rotation and aspect included), subtitles, cover, attachments, chapters and metadata are kept, each at its
    time; what the container cannot hold is left out.

    Args:
        video_path: a file with a picture.
        sound: a sound that begins at time zero of the video, as `stream_audio` counts it.
        out_path: its suffix chooses the container; it may be `video_path` itself.
        gain: factor for the samples.
        stream: the track of sound that is replaced, whose language and title the new one gets.
        bits_per_second: of a lossy sound; None takes 128 kbit/s a channel.

    Raises:
        MediaError: the video cannot be read or has no picture, the place cannot be written, or the container that the
            suffix names cannot hold the picture or so many channels.
    """
    head = read_facts(sound, None)
    zero_seconds = time_zero_seconds(video_path, stream)
    with open_media(video_path) as source:
        _require_picture(source, video_path)
        _require_room(source, out_path)
        with open_muxer(out_path) as container:
            copied = _copied_streams(source, container)
            track = SoundTrack(
                container,
                _SOUNDS.get(out_path.suffix.lower(), AAC),
                (block * np.float32(gain) for block in stream_audio(sound)),
                sample_rate_hz=head.sample_rate_hz,
                num_channels=head.num_channels,
                layout=head.layout,
                bits_per_second=bits_per_second,
            )
            track.stream.metadata.update(_kept_metadata(*source.streams.audio[stream : stream + 1]))
            container.metadata.update(_kept_metadata(source))
            container.set_chapters(_chapters(source, zero_seconds))
            _interleave(source, container, copied, track, zero_seconds)


def picture_suffix(video_path: Path) -> str:
    """Choose the container, by its suffix, of a video that is given a new picture: its own where that holds H.264."""
    with open_media(video_path) as source:
        suffix = _own_suffix(source, video_path)
        fits = suffix not in _WITHOUT_H264 and _holds(source, video_path.with_suffix(suffix), source.streams.audio)
        return suffix if fits else ".mkv"


def require_room_for_sounds(video_path: Path, out_path: Path) -> None:
    """Raise MediaError when the container that the suffix of `out_path` names cannot hold the sounds of a video."""
    with open_media(video_path) as source:
        if not _holds(source, out_path, source.streams.audio):
            names = ", ".join(dict.fromkeys(stream.codec_context.name for stream in source.streams.audio))
            raise MediaError(
                f"{out_path}: cannot be written (a {out_path.suffix} file cannot hold {names} sound); use .mkv"
            )


def replace_picture(
    video_path: Path,
    frames: Iterator[tuple[float, UInt8[np.ndarray, "H W 3"]]],
    out_path: Path,
    *,
    comment: str = "",
) -> None:
    """Copy a video untouched, but for its picture: all sounds, subtitles, attachments and chapters, each at its time.

    Args:
        video_path: a video.
        frames: (time in seconds from time zero, upright pixels) of its new picture, as `stream_frames` counts.
        out_path: its suffix chooses the container (see `picture_suffix`); it may not be `video_path` itself.
        comment: what is added to the comment in the metadata.

    Raises:
        MediaError: the video cannot be read, the place cannot be written, or the container that the suffix names
            cannot hold its sounds.
    """
    require_room_for_sounds(video_path, out_path)
    with open_media(video_path) as source:
        zero_seconds = timeline_start_seconds(source)
        with open_muxer(out_path) as container:
            picture = PictureTrack(container, frames, fps=_declared_fps(source))
            copied = _copied_streams(source, container, ("audio", "subtitle"))
            container.metadata.update(_kept_metadata(source))
            if comment:
                container.metadata["comment"] = "; ".join(filter(None, (source.metadata.get("comment"), comment)))
            container.set_chapters(_chapters(source, zero_seconds))
            _interleave(source, container, copied, picture, zero_seconds)


def _declared_fps(source: InputContainer) -> Fraction:
    """Return the frame rate that a video declares, or a usual one."""
    return picture_streams(source)[0].average_rate or Fraction(25)


def _own_suffix(source: InputContainer, path: Path) -> str:
    """Return the suffix of a video's own container: the one that it has, where that is one of its format."""
    formats = set(source.format.name.split(","))
    suffixes = next((suffixes for name, suffixes in _FAMILIES if name in formats), (".mkv",))
    own = path.suffix.lower()
    return own if own in suffixes else suffixes[0]


def _require_picture(source: InputContainer, path: Path) -> None:
    """Raise MediaError for a file without a picture."""
    if not picture_streams(source):
        raise MediaError(f"{path}: holds no picture to put a sound to; give a video")


def _require_room(source: InputContainer, path: Path) -> None:
    """Raise MediaError when the container of a file to be written cannot hold the pictures."""
    if not _holds(source, path, picture_streams(source)):
        codec = picture_streams(source)[0].codec_context.name
        raise MediaError(f"{path}: cannot be written (a {path.suffix} file cannot hold {codec} video); use .mkv")


def _holds(source: InputContainer, path: Path, streams: Iterable[Stream]) -> bool:
    """Tell whether the container that the suffix of `path` names can hold streams of one kind."""
    streams = list(streams)
    with unwritten_muxer(path) as container:
        copied = _copied_streams(source, container, {stream.type for stream in streams})
    return all(stream in copied for stream in streams)


def _copied_streams(
    source: InputContainer, container: OutputContainer, kinds: Collection[str] = ("video", "subtitle")
) -> dict[Stream, Stream]:
    """Add to a container a stream for each one of some kinds that it can hold, and for attachments."""
    is_mov, is_matroska = container.format.name in ("mov", "mp4", "3gp"), container.format.name == "matroska"
    copied: dict[Stream, Stream] = {}
    for stream in source.streams:
        is_cover = bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))
        is_wanted = stream.type in kinds and (is_mov or not is_cover)
        if not is_wanted and not (stream.type == "attachment" and is_matroska):
            continue
        try:
            # `opaque`, since an encoder of the name of the decoder, such as libdav1d, may not exist.
            copy: Any = container.add_stream_from_template(stream, opaque=True)
        except ValueError:
            continue
        copy.disposition = stream.disposition
        copy.metadata.update(_kept_metadata(stream))
        if is_mov and stream.type == "video" and stream.codec_context.codec_tag in _KEPT_TAGS:
            copy.codec_context.codec_tag = stream.codec_context.codec_tag
        copied[stream] = copy
    return copied


def _left_out(source: InputContainer, copied: Collection[Stream]) -> Iterator[str]:
    """Name what of a video a new file does not hold."""
    tracks = len(source.streams.audio) - 1
    if tracks > 0:
        yield f"{tracks} other track{'s' if tracks > 1 else ''} of sound"
    titles = {"video": "stream of pictures", "subtitle": "stream of subtitles", "attachment": "attachment"}
    for kind, title in titles.items():
        lost = sum(stream.type == kind and stream not in copied for stream in source.streams)
        if lost:
            yield f"{lost} {title}"


def _kept_metadata(*sources: InputContainer | Stream) -> dict[str, str]:
    """Return what the metadata of files or streams say of the recording and not of the old file."""
    metadata = [source.metadata for source in sources]
    return {key: value for values in metadata for key, value in values.items() if key.upper() not in _STALE_KEYS}


def _chapters(source: InputContainer, zero_seconds: float) -> list[Any]:
    """List the chapters, counted from time zero."""
    chapters: list[Any] = source.chapters()
    for chapter in chapters:
        offset = round(zero_seconds / float(chapter["time_base"]))
        chapter["start"], chapter["end"] = max(0, chapter["start"] - offset), chapter["end"] - offset
    return chapters


def _interleave(
    source: InputContainer,
    container: OutputContainer,
    copied: Mapping[Stream, Stream],
    new: SoundTrack | PictureTrack,
    zero_seconds: float,
) -> None:
    """Write the packets of the copied streams, each after what the new track holds up to its decoding time."""
    for packet in _stamped_packets(source, list(copied), zero_seconds):
        new.write_until(float(packet.dts * packet.time_base))
        packet.stream = copied[packet.stream]
        container.mux(packet)
    new.finish()


def _stamped_packets(source: InputContainer, streams: list[Stream], zero_seconds: float) -> Iterator[Any]:
    """Yield the packets of some streams, counted from time zero, with rising decoding times in each.

    Matroska lacks the first decoding times.
    """
    last: dict[Stream, int] = {}
    packets: Iterable[Any] = source.demux(streams) if streams else ()  # of no streams PyAV would give all
    for packet in packets:
        if packet.size == 0 or (packet.pts is None and packet.dts is None):
            continue
        offset = round(zero_seconds / float(packet.time_base))
        pts = (packet.dts if packet.pts is None else packet.pts) - offset
        before = last.get(packet.stream)
        if packet.dts is not None:
            dts = packet.dts - offset
        else:
            dts = pts - _MAX_REORDERED_FRAMES if before is None else before
        packet.pts, packet.dts = pts, dts if before is None else max(dts, before + 1)
        last[packet.stream] = packet.dts
        yield packet
