"""The queries of training, for each clip of a store: embeddings of pictures, regions or words, the pictures, or labels.

Labels come from a file of their own, which only recipes that declare `supervision = "labels"` may read; a clip store
never holds any.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int

from trisep.encoders import QUERY_TEMPLATES, encode_query_text, load_encoder
from trisep.encoders.resnet import square_frames
from trisep.errors import ConfigError, StoreError
from trisep.media.tables import read_rows
from trisep.mixing.mixture import ClipGroups, MixingConfig, group_clips
from trisep.recipes import QueryKind
from trisep.store.read import ClipStore


class TrainingQueries:
    """Queries by clip and moment.

    The embeddings of pictures come from files that `embed` made: no encoder runs on a picture here.
    """

    def __init__(
        self,
        store: ClipStore,
        encoder_name: str,
        *,
        kind: QueryKind,
        mixing: MixingConfig,
        labels: Path | None,
        templates: Sequence[str] = QUERY_TEMPLATES,
    ) -> None:
        """Open what the queries are read from; `templates` turn a label into the texts whose mean is its query.

        Raises ConfigError when `kind` needs labels and none are given, StoreError when the store lacks what it needs.
        """
        self._store, self._kind = store, kind
        self._templates = templates
        self._num_frames, self._spacing_seconds = mixing.num_frames, mixing.frame_spacing_seconds
        self.encoder_fingerprint = ""
        """Fingerprint of the encoder that made the embeddings; empty where the queries are no embeddings."""
        self.label_names: tuple[str, ...] = ()
        """Names of the labels, in the order of their ids; empty where no labels are read."""
        if kind in ("image", "regions", "frames", "hybrid"):
            _require_pictures(store, kind)
        if kind in ("image", "regions", "hybrid", "mixed"):
            self.encoder_fingerprint = store.embedding_info(encoder_name).fingerprint
        if kind in ("image", "hybrid", "mixed"):
            self._vectors = store.load_vectors(encoder_name)
        self._regions = store.load_regions(encoder_name) if kind == "regions" else None
        self.groups: ClipGroups | None = None
        """The groups by which clips are drawn; None where clips are drawn without regard to labels."""
        if kind in ("text", "hybrid", "mixed", "label"):
            self._read_labels(labels, None if kind == "label" else encoder_name)
            if labels is not None and (mixing.balance or mixing.distinct_labels or mixing.within_domain):
                groups, domains = (read_optional_column(labels, column, store) for column in ("group", "domain"))
                self.groups = group_clips(self._label_ids, groups, mixing.balance, domains)

    def read(
        self, clips: Sequence[int], centres_seconds: Sequence[float], *, batch_number: int
    ) -> dict[str, np.ndarray]:
        """Read the queries of one mixture.

        They are `vectors` [Q, D], `regions` [Q, K, 7, 7, D], `label_ids` [Q] or `frames` uint8 [Q, K, 3, 224, 224].
        With `hybrid`, batches of even number have picture queries and the others text queries (CLIPSep-Hybrid). With
        `mixed` (*our deviation*), each clip's query is its picture or its label in words, with equal probability, and
        always in words where a clip has no picture.
        """
        if self._kind == "none":
            return {}
        if self._kind == "label":
            return {"label_ids": self._label_ids[list(clips)]}
        if self._kind == "text" or (self._kind == "hybrid" and batch_number % 2):
            both = zip(clips, centres_seconds, strict=True)
            return {"vectors": np.stack([self._words(clip, _drawn_by(clip, centre)) for clip, centre in both])}
        if self._kind == "mixed":
            both = zip(clips, centres_seconds, strict=True)
            return {"vectors": np.stack([self._picture_or_words(clip, centre) for clip, centre in both])}
        moments = list(
            zip(clips, (self._nearest(*both) for both in zip(clips, centres_seconds, strict=True)), strict=True)
        )
        if self._kind == "frames":
            pictures = [self._store.read_frames(clip)[self._filled(nearest)] for clip, nearest in moments]
            return {"frames": np.stack([square_frames(list(frames)).numpy() for frames in pictures])}
        if self._regions is not None:
            rows = [self._store.frame_slice(clip).start + self._filled(nearest) for clip, nearest in moments]
            return {"regions": np.stack([self._regions[one] for one in rows])}
        vectors = [self._vectors[self._store.frame_slice(clip)][nearest].mean(axis=0) for clip, nearest in moments]
        return {"vectors": np.stack(vectors).astype(np.float32)}

    def _picture_or_words(self, clip: int, centre_seconds: float) -> Float32[np.ndarray, "D"]:
        """Return the embedding of a clip's frames, or that of its label, with equal probability.

        The choice is a pure function of the clip and the moment.
        """
        has_picture, generator = bool(self._store.entries[clip].frames), _drawn_by(clip, centre_seconds)
        if generator.random() < 0.5 and has_picture:
            frames = self._vectors[self._store.frame_slice(clip)][self._nearest(clip, centre_seconds)]
            return np.asarray(frames.mean(axis=0), np.float32)
        return self._words(clip, generator)

    def _words(self, clip: int, generator: np.random.Generator) -> Float32[np.ndarray, "D"]:
        """Return the embedding of one of a clip's wordings, drawn with equal probability."""
        wordings = self._wordings[clip]
        return np.asarray(self._texts[wordings[int(generator.integers(len(wordings)))]], np.float32)

    def _read_labels(self, labels: Path | None, encoder_name: str | None) -> None:
        """Read each clip's label and, with an encoder, embed all labels or, where the file has a column `wordings`, all
        of these: texts separated by semicolons, one of which is drawn whenever a clip is asked for in words.

        Raises StoreError when that encoder is not the version that embedded the pictures.
        """
        if labels is None:
            raise ConfigError(
                f"the recipe's queries are of kind '{self._kind}': give labels with --labels FILE (a CSV with the "
                "columns path, label)"
            )
        self._label_ids, self.label_names = read_labels(labels, self._store)
        if encoder_name is None:
            return
        encoder = load_encoder(encoder_name)
        if self.encoder_fingerprint not in ("", encoder.fingerprint):
            raise StoreError(
                f"{self._store.path}: was embedded by another version of '{encoder_name}' than the installed one; "
                f"run `trisep embed {self._store.path} --encoder {encoder_name} --overwrite`"
            )
        self.encoder_fingerprint = encoder.fingerprint
        wordings = [
            several.split(";") if several else [self.label_names[label]]
            for label, several in zip(
                self._label_ids, read_optional_column(labels, "wordings", self._store), strict=True
            )
        ]
        texts = {text: row for row, text in enumerate(dict.fromkeys(text for some in wordings for text in some))}
        self._wordings = [[texts[text] for text in some] for some in wordings]
        self._texts = np.stack([encode_query_text(encoder, text, self._templates).numpy() for text in texts])

    def _nearest(self, clip: int, centre_seconds: float) -> Int[np.ndarray, "K"]:
        """Return which of a clip's frames make its query, in order of time.

        These are at most K where they are the frames nearest to the centre, and K where they lie at a fixed spacing.
        """
        times = np.asarray(self._store.frame_times(clip))
        if self._spacing_seconds is None:
            return np.sort(np.argsort(np.abs(times - centre_seconds), kind="stable")[: self._num_frames])
        moments = centre_seconds + (np.arange(self._num_frames) - (self._num_frames - 1) / 2) * self._spacing_seconds
        return np.asarray(np.abs(times[None] - moments[:, None]).argmin(axis=1))

    def _filled(self, nearest: Int[np.ndarray, "_"]) -> Int[np.ndarray, "K"]:
        """Return K frame numbers for a clip with fewer frames, too, by repeating the last one."""
        return np.concatenate([nearest, np.repeat(nearest[-1:], self._num_frames - len(nearest))])


def _drawn_by(clip: int, centre_seconds: float) -> np.random.Generator:
    """Make a generator that is a pure function of the clip and the moment."""
    return np.random.default_rng([clip, round(centre_seconds * 1e6)])


def _require_pictures(store: ClipStore, kind: QueryKind) -> None:
    """Raise StoreError where a clip has no picture."""
    blind = [entry.source for entry in store.entries if not entry.frames]
    if blind:
        raise StoreError(
            f"{store.path}: {len(blind)} of {len(store)} clips have no picture, which queries of kind '{kind}' need, "
            f"the first is {blind[0]}; prepare the store without --audio-only-ok, or take a recipe with text queries"
        )


def read_labels(path: Path, store: ClipStore) -> tuple[Int[np.ndarray, "clips"], tuple[str, ...]]:
    """Read the label of each clip of a store, as a number, and the labels' names, sorted.

    `path` is a CSV with the columns `path` and `label`. A clip's row is the one whose path is the clip's source or,
    where there is none, the one whose path ends with it after a slash. The numbers count all labels of the file, so
    that two stores read with one file agree. Raises MediaError for a file that is no such table, ConfigError for clips
    without a label, or with several.
    """
    names = tuple(sorted({row["label"] for row in read_rows(path, ("path", "label"))}))
    numbers = {label: number for number, label in enumerate(names)}
    return np.array([numbers[label] for label in _column_by_clip(path, "label", store)]), names


def read_optional_column(path: Path, column: str, store: ClipStore) -> list[str]:
    """Read a column of the labels' CSV for each clip; empty strings without such a column."""
    is_there = any(column in row for row in islice(read_rows(path, ("path", "label")), 1))
    return _column_by_clip(path, column, store) if is_there else [""] * len(store)


def _column_by_clip(path: Path, column: str, store: ClipStore) -> list[str]:
    """Read the value that a CSV gives for each clip; ConfigError for clips without a value, or with several."""
    exact: defaultdict[str, set[str]] = defaultdict(set)
    ending: defaultdict[str, set[str]] = defaultdict(set)
    for row in read_rows(path, ("path", column)):
        exact[row["path"]].add(row[column])
        parts = row["path"].split("/")
        for first in range(1, len(parts)):
            ending["/".join(parts[first:])].add(row[column])
    sources = [store.source(clip) for clip in range(len(store))]
    found = [exact.get(source) or ending.get(source) or set() for source in sources]
    unknown = [source for source, values in zip(sources, found, strict=True) if not values]
    if unknown:
        raise ConfigError(
            f"{path}: has no {column} for {len(unknown)} of {len(store)} clips of {store.path}, the first is "
            f"{unknown[0]}"
        )
    for source, values in zip(sources, found, strict=True):
        if len(values) > 1:
            raise ConfigError(
                f"{path}: has several {column}s for the clip {source}: {', '.join(sorted(values))}; give one row, by "
                "its whole path"
            )
    return [value for (value,) in found]
