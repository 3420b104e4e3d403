"""The queries of training, for each clip of a store: embeddings of pictures, regions, boxes, words or sounds, pictures,
what boxes cut out of them, or labels.

Labels come from a file of their own, which only recipes that declare `supervision = "labels"` may read; a clip store
never holds any.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int

from trisep.encoders import QUERY_TEMPLATES, HearingEncoder, encode_query_text, load_encoder
from trisep.encoders.resnet import square_frames
from trisep.errors import ConfigError, StoreError
from trisep.mixing.mixture import ClipGroups, MixingConfig, group_clips
from trisep.queries.boxes import NOTHING_DETECTED, WHOLE_PICTURE, different_first
from trisep.queries.regions import crop
from trisep.recipes import QueryKind
from trisep.store.boxes import load_boxes
from trisep.store.read import ClipStore
from trisep.training.labels import read_labels, read_optional_column
from trisep.types import Place

_LEAST_EXAMPLE_SECONDS = 0.5


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
        num_boxes: int = 1,
        crop_samples: int = 0,
    ) -> None:
        """Open what the queries are read from; `templates` turn a label into the texts whose mean is its query.

        `num_boxes` is the number of boxes of a query, `crop_samples` the length of the target of which a sound is an
        example, where there are any. Raises ConfigError when `kind` needs labels and
        none are given, StoreError when the store lacks what it needs.
        """
        self._store, self._kind = store, kind
        self._templates = templates
        self._num_frames, self._spacing_seconds = mixing.num_frames, mixing.frame_spacing_seconds
        self.encoder_fingerprint = ""
        """Fingerprint of the encoder that made the embeddings; empty where the queries are no embeddings."""
        self.label_names: tuple[str, ...] = ()
        """Names of the labels, in the order of their ids; empty where no labels are read."""
        self.labels_sha256 = ""
        """Hash of what the label file says of the clips, as far as it is read; empty where no labels are read."""
        if kind in ("image", "regions", "frames", "hybrid", "cuts", "boxes"):
            _require_pictures(store, kind)
        if kind in ("image", "regions", "hybrid", "mixed", "cuts", "boxes"):
            self.encoder_fingerprint = store.embedding_info(encoder_name).fingerprint
        if kind in ("image", "hybrid", "mixed"):
            self._vectors = store.load_vectors(encoder_name)
        self._regions = store.load_regions(encoder_name) if kind == "regions" else None
        self._boxes = BoxQueries(store, encoder_name, num_boxes) if kind in ("cuts", "boxes") else None
        if self._boxes is not None:
            self.label_names = self._boxes.label_names
        self._examples = ExampleQueries(store, encoder_name, crop_samples) if kind in ("sound", "sound_text") else None
        if self._examples is not None:
            self.encoder_fingerprint = self._examples.encoder.fingerprint
        self.groups: ClipGroups | None = None
        """The groups by which clips are drawn; None where clips are drawn without regard to labels."""
        if kind in ("text", "hybrid", "mixed", "label", "sound_text"):
            said = self._read_labels(labels, None if kind == "label" else encoder_name)
            if labels is not None and (mixing.balance or mixing.distinct_labels or mixing.within_domain):
                groups, domains = (read_optional_column(labels, column, store) for column in ("group", "domain"))
                self.groups = group_clips(self._label_ids, groups, mixing.balance, domains)
                said += [groups, domains]
            self.labels_sha256 = hashlib.sha256(json.dumps(said).encode()).hexdigest()

    def read(
        self, clips: Sequence[int], centres_seconds: Sequence[float], *, batch_number: int
    ) -> dict[str, np.ndarray]:
        """Read the queries of one mixture.

        They are `vectors` [Q, D], `regions` [Q, K, 7, 7, D], `label_ids` [Q] or `frames` uint8 [Q, K, 3, 224, 224];
        with boxes, `box_labels` [Q, K] beside `frames` (`cuts`) or `box_vectors` [Q, K, D] (`boxes`). With `hybrid`,
        batches of even number have picture queries and the others text queries (CLIPSep-Hybrid). With `mixed` (*our
        deviation*), each clip's query is its picture or its label in words, with equal probability, and always in words
        where a clip has no picture. With `sound` it is what the encoder hears in another stretch of the clip; with
        `sound_text`, that and the label in words are mixed at random.
        """
        if self._kind == "none":
            return {}
        if self._kind == "label":
            return {"label_ids": self._label_ids[list(clips)]}
        if self._kind == "text" or (self._kind == "hybrid" and batch_number % 2):
            both = zip(clips, centres_seconds, strict=True)
            return {"vectors": np.stack([self._words(clip, _drawn_by(clip, centre)) for clip, centre in both])}
        if self._examples is not None:
            both = zip(clips, centres_seconds, strict=True)
            return {"vectors": np.stack([self._example(clip, centre) for clip, centre in both])}
        if self._kind == "mixed":
            both = zip(clips, centres_seconds, strict=True)
            return {"vectors": np.stack([self._picture_or_words(clip, centre) for clip, centre in both])}
        moments = list(
            zip(clips, (self._nearest(*both) for both in zip(clips, centres_seconds, strict=True)), strict=True)
        )
        if self._boxes is not None:
            read = self._boxes.cuts if self._kind == "cuts" else self._boxes.vectors
            found = [read(clip, nearest) for clip, nearest in moments]
            return {name: np.stack([one[name] for one in found]) for name in found[0]}
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

    def _example(self, clip: int, centre_seconds: float) -> Float32[np.ndarray, "D"]:
        """Return what is heard in another stretch of a clip, or a point between its direction and that of the words.

        The point is a weighted mean of unit vectors. Its weight, uniform in 0 to 1, is a pure function of the clip and
        the moment (our reading of Kilgour et al. 2022).
        """
        assert self._examples is not None
        heard = self._examples.read(clip, centre_seconds)
        if self._kind == "sound":
            return heard
        generator = _drawn_by(clip, centre_seconds)
        share, words = generator.random(), self._words(clip, generator)
        units = (values / max(float(np.linalg.norm(values)), 1e-12) for values in (heard, words))
        return np.asarray(
            sum(weight * unit for weight, unit in zip((share, 1 - share), units, strict=True)), np.float32
        )

    def _words(self, clip: int, generator: np.random.Generator) -> Float32[np.ndarray, "D"]:
        """Return the embedding of one of a clip's wordings, drawn with equal probability."""
        wordings = self._wordings[clip]
        return np.asarray(self._texts[wordings[int(generator.integers(len(wordings)))]], np.float32)

    def _read_labels(self, labels: Path | None, encoder_name: str | None) -> list[Sequence[str]]:
        """Read each clip's label and, with an encoder, embed all labels or, where the file has a column `wordings`, all
        of these: texts separated by semicolons, one of which is drawn whenever a clip is asked for in words.

        Returns what was read: for each clip, and without an encoder all labels, whose numbers are the queries.

        Raises StoreError when that encoder is not the version that embedded the pictures.
        """
        if labels is None:
            raise ConfigError(
                f"the recipe's queries are of kind '{self._kind}': give labels with --labels FILE (a CSV with the "
                "columns path, label, or what `trisep data status` wrote)"
            )
        self._label_ids, self.label_names = read_labels(labels, self._store)
        by_clip = [self.label_names[label] for label in self._label_ids]
        if encoder_name is None:
            return [by_clip, self.label_names]
        encoder = load_encoder(encoder_name)
        if self.encoder_fingerprint not in ("", encoder.fingerprint):
            raise StoreError(
                f"{self._store.path}: was embedded by another version of '{encoder_name}' than the installed one; "
                f"run `trisep embed {self._store.path} --encoder {encoder_name} --overwrite`"
            )
        self.encoder_fingerprint = encoder.fingerprint
        several = read_optional_column(labels, "wordings", self._store)
        wordings = [some.split(";") if some else [label] for label, some in zip(by_clip, several, strict=True)]
        texts = {text: row for row, text in enumerate(dict.fromkeys(text for some in wordings for text in some))}
        self._wordings = [[texts[text] for text in some] for some in wordings]
        self._texts = np.stack([encode_query_text(encoder, text, self._templates).numpy() for text in texts])
        return [by_clip, several]

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


class ExampleQueries:
    """Another stretch of each clip, as the encoder hears it (SoundFilter's two crops of one recording)."""

    def __init__(self, store: ClipStore, encoder_name: str, crop_samples: int) -> None:
        """Raise ConfigError for an encoder that hears nothing, StoreError where a clip has no room for both crops."""
        encoder = load_encoder(encoder_name)
        if not isinstance(encoder, HearingEncoder):
            raise ConfigError(f"encoder: '{encoder_name}' embeds no sounds, which these queries are; expected lite")
        self.encoder, self._store, self._crop_samples = encoder, store, crop_samples
        least = crop_samples + round(2 * _LEAST_EXAMPLE_SECONDS * store.sample_rate_hz)
        if (short := np.flatnonzero(store.entries.num_samples() < least)).size:
            raise StoreError(
                f"{store.path}: {short.size} of {len(store)} clips are shorter than {least / store.sample_rate_hz:.1f} "
                f"s, which a target and an example need, the first is {store.source(int(short[0]))}; prepare longer "
                "clips, or shorten the target with --set signal.clip_samples=…"
            )

    def bounds(self, clip: int, centre_seconds: float) -> tuple[int, int]:
        """Return the first sample of the example and the one after its last: beside the target, on its longer side.

        It is as long as the target, or what there is.
        """
        length = self._store.num_samples(clip)
        begin = max(0, round(centre_seconds * self._store.sample_rate_hz) - self._crop_samples // 2)
        end = begin + self._crop_samples
        if length - end >= begin:
            return end, min(length, end + self._crop_samples)
        return max(0, begin - self._crop_samples), begin

    def read(self, clip: int, centre_seconds: float) -> Float32[np.ndarray, "D"]:
        """Return the embedding of the example for a target around a moment of a clip."""
        begin, end = self.bounds(clip, centre_seconds)
        sound = torch.from_numpy(self._store.read_waveform(clip, begin, end - begin).copy())
        return self.encoder.encode_audio(sound[None], self._store.sample_rate_hz)[0].float().cpu().numpy()


class BoxQueries:
    """The boxes of a clip's frames as a query: the surest box of each class first, then second ones.

    A clip without a box has one: the whole picture of its first frame, with a class of its own, which comes last.
    """

    def __init__(self, store: ClipStore, encoder_name: str, num_boxes: int) -> None:
        """Load the boxes of a store; StoreError where it has none by this encoder."""
        self._store, self._num_boxes = store, num_boxes
        self._found = load_boxes(store, encoder_name)
        self._whole_vectors = store.load_vectors(encoder_name)
        self.label_names = (*self._found.names, NOTHING_DETECTED)

    def cuts(self, clip: int, frames: Int[np.ndarray, "_"]) -> dict[str, np.ndarray]:
        """Read `box_labels` [K] and what the boxes cut out of some frames of a clip, `frames` [K, 3, 224, 224]."""
        rows, boxes, labels = self._chosen(clip, frames)
        pictures = self._store.read_frames(clip)
        first_row = self._store.frame_slice(clip).start
        cut = []
        for row, box in zip(rows, boxes, strict=True):
            place = Place(*self._found.places[box].tolist()) if box >= 0 else WHOLE_PICTURE
            cut.append(crop(pictures[row - first_row], place, self._store.source(clip)))
        return {"frames": self._filled(square_frames(cut).numpy()), "box_labels": labels}

    def vectors(self, clip: int, frames: Int[np.ndarray, "_"]) -> dict[str, np.ndarray]:
        """Read `box_labels` [K] and the embeddings of what the boxes cut out, `box_vectors` [K, D]."""
        rows, boxes, labels = self._chosen(clip, frames)
        embedded = [
            self._found.vectors[box] if box >= 0 else self._whole_vectors[row]
            for row, box in zip(rows, boxes, strict=True)
        ]
        return {"box_vectors": self._filled(np.stack(embedded)), "box_labels": labels}

    def _chosen(self, clip: int, frames: Int[np.ndarray, "_"]) -> tuple[list[int], list[int], Int[np.ndarray, "K"]]:
        """Return the frame row and the number of each box, −1 for the whole picture; and K labels, −1 for none."""
        rows = [self._store.frame_slice(clip).start + int(frame) for frame in dict.fromkeys(frames.tolist())]
        ranked = [(rank, row, int(box)) for row in rows for rank, box in enumerate(self._found.of(row))]
        found = [(row, box) for _, row, box in sorted(ranked)] or [(rows[0], -1)]
        labels = [int(self._found.labels[box]) if box >= 0 else len(self._found.names) for _, box in found]
        order = different_first(labels)[: self._num_boxes]
        padded = np.full(self._num_boxes, -1, np.int64)
        padded[: len(order)] = [labels[number] for number in order]
        return [found[number][0] for number in order], [found[number][1] for number in order], padded

    def _filled(self, values: np.ndarray) -> np.ndarray:
        """Return K rows where there are fewer, by repeating the first one."""
        return np.concatenate([values, np.repeat(values[:1], self._num_boxes - len(values), axis=0)])


def _require_pictures(store: ClipStore, kind: QueryKind) -> None:
    """Raise StoreError where a clip has no picture."""
    blind = store.clips_without_pictures()
    if blind.size:
        raise StoreError(
            f"{store.path}: {blind.size} of {len(store)} clips have no picture, which queries of kind '{kind}' need, "
            f"the first is {store.source(int(blind[0]))}; prepare the store without --audio-only-ok, or take a recipe "
            "with text queries"
        )
