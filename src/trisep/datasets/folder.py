"""The files of a media folder: a data set without metadata, and the place where the clips of the others are found.

This file decodes nothing.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from trisep.datasets.clip_list import ListedClip, tidy_label
from trisep.errors import ConfigError, MediaError
from trisep.media import SOUND_SUFFIXES, VIDEO_SUFFIXES

_ORDER = {suffix: place for place, suffix in enumerate(VIDEO_SUFFIXES + SOUND_SUFFIXES)}


def read_folder(metadata: Sequence[Path], media: Path) -> list[ListedClip]:
    """List every video and sound below `media` as a training clip, sorted by path.

    Its label is the folder it lies in, below `media`.
    """
    if metadata:
        raise ConfigError(
            f"--metadata: a folder of videos has none, got {metadata[0]}; leave it out, or name the data set"
        )
    clips = []
    for source in media_files(media):
        parent = PurePosixPath(source).parent.name
        stem = PurePosixPath(source).stem
        clips.append(
            ListedClip(key=source, media_id=stem, source=source, labels=(tidy_label(parent),) if parent else ())
        )
    return clips


def media_files(media: Path) -> list[str]:
    """List videos and sounds below a folder by their suffix, without hidden ones, as sorted relative paths.

    The paths have forward slashes. Links to files are followed, links to folders are not. MediaError when the
    folder cannot be read.
    """
    if not media.is_dir():
        raise MediaError(
            f"{media}: {'is a file' if media.exists() else 'no such folder'}; give the folder of media files"
        )
    return sorted(_walk(media))


def _walk(media: Path) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        """Stop the walk at a folder that cannot be listed."""
        raise MediaError(
            f"{error.filename}: the folder cannot be read ({error.strerror}); change its permissions or move it away"
        )

    for parent, folders, files in os.walk(media, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in _ORDER:
                yield Path(parent, name).relative_to(media).as_posix()


class MediaIndex:
    """Finds the file of a clip anywhere below a folder by its name without suffix.

    A video takes precedence over a sound of the same name.
    """

    def __init__(self, sources: Sequence[str]) -> None:
        """Index the files; `sources` are relative paths, as from `media_files`."""
        by_stem: dict[str, list[str]] = defaultdict(list)
        for source in sorted(sources, key=lambda source: (_ORDER[PurePosixPath(source).suffix.lower()], source)):
            by_stem[PurePosixPath(source).stem].append(source)
        self._by_stem: Mapping[str, list[str]] = by_stem
        self._sources = frozenset(sources)

    def find(self, clip: ListedClip) -> tuple[str, bool] | None:
        """Return the file of a clip and whether it holds the stretch alone by its name; None when it is missing."""
        if clip.source is not None:
            return (clip.source, True) if clip.source in self._sources else None
        for name in (*clip.cut_names, clip.media_id):
            if name in self._by_stem:
                return self._by_stem[name][0], name in clip.cut_names
        return None
