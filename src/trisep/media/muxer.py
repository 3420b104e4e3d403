"""Files that FFmpeg writes: the container by the suffix, and a name that appears only when the file is complete."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.codec.codec import UnknownCodecError
from av.container import OutputContainer
from av.error import FFmpegError

from trisep.errors import MediaError
from trisep.media.files import replacing, write_failure

_MUXERS = {
    ".3gp": "3gp",
    ".avi": "avi",
    ".m2ts": "mpegts",
    ".m4a": "ipod",
    ".m4v": "mp4",
    ".mkv": "matroska",
    ".mov": "mov",
    ".mp3": "mp3",
    ".mp4": "mp4",
    ".mts": "mpegts",
    ".ogg": "ogg",
    ".opus": "opus",
    ".ts": "mpegts",
    ".webm": "webm",
}
"""FFmpeg's name of the container, by suffix."""


@contextmanager
def open_muxer(path: Path) -> Iterator[OutputContainer]:
    """Open a container under a temporary name, and move it into place when the body ends well.

    FFmpeg's errors in the body become MediaError.
    """
    with replacing(path) as temporary:
        try:
            with _opened(path, temporary) as container:
                yield container
        except (FFmpegError, UnknownCodecError) as error:
            raise write_failure(path, error) from error


@contextmanager
def unwritten_muxer(path: Path) -> Iterator[OutputContainer]:
    """Open the container that `path` would be, to ask what it can hold; nothing may be muxed, nothing is written."""
    with _opened(path, path) as container:
        yield container


def _opened(path: Path, name: Path) -> OutputContainer:
    """Open the container that the suffix of `path` names; FFmpeg makes the file `name` with the first packet."""
    muxer = _MUXERS.get(path.suffix.lower())
    if muxer is None:
        raise MediaError(
            f"{path}: no video format is known by the suffix '{path.suffix}'; use .mp4, .mov, .mkv or .webm"
        )
    return av.open(str(name.absolute()), "w", format=muxer)
