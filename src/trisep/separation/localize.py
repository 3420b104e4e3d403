"""Localisation: frames → regions; queries → vectors in the same space; both → a heat map per frame and query → video,
picture.

A vector is that of a query's words, of the sound that they separate (for models that embed sound in the encoder's
space), or of the latent caption of the centre frame (VAST, Figs. 5 and 9; spec section 4). Maps are computed a few
times a second, and the overlay is interpolated between them.
"""

import errno
import hashlib
import os
import sys
import zipfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from jaxtyping import Float, Float32
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor
from torch.nn import functional as F

from trisep.encoders import DoubtingEncoder, SharedEncoder, encode_query_text
from trisep.errors import CheckpointError, ConfigError, MediaError
from trisep.figures.localization import HeatOverlay
from trisep.media import FPS_RANGE
from trisep.media.audio import read_audio
from trisep.media.files import replacing, require_place, write_failure
from trisep.media.probe import VideoStream, open_media, probe
from trisep.media.remux import picture_suffix, replace_picture, require_room_for_sounds
from trisep.media.video import read_frames, stream_frames, write_video
from trisep.queries.captions import CaptionSettings, find_captions
from trisep.queries.embed import as_queries
from trisep.separation import TEMPERATURE_RANGE, LocalizeBy
from trisep.separation.batch import columns, short_query
from trisep.separation.infer import network_input, round_up
from trisep.separation.options import SeparationOptions
from trisep.separation.presences import Presence, presences
from trisep.separation.separator import Separator, load
from trisep.spectrogram.stft import num_frames
from trisep.types import Audio, Localization, Query

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv")
_BATCH_FRAMES = 8
_MAX_OUTPUT_FPS = 60.0
"""Limit of the output's frame rate, since some recordings declare their clock as their frame rate."""
_FALLBACK_FPS = 25.0


def localize(
    path: Path | str,
    queries: Sequence[str] = (),
    *,
    by: LocalizeBy = "text",
    model: str | Path | Separator = "default",
    fps: float = 4.0,
    temperature: float = 0.01,
    device: str = "auto",
    allow_truncated: bool = False,
) -> list[Localization]:
    """Localise queries in a video, one by one: per frame, softmax over the regions x of cosine(f_x, v) / temperature.

    Args:
        path: a video; by text or caption it needs no sound.
        queries: words; by caption they do not count.
        by: what v is: `text`, the words' embedding (several templates averaged); `audio`, the embedding of the sound
            that the words separate; `caption`, the latent caption of the centre frame.
        model: name or folder of a checkpoint, whose encoder embeds the picture, or a loaded `Separator`.
        fps: number of maps per second; no frame gets two.
        temperature: the lower it is, the more the best cell takes. The default is that of the alignment losses.
        device: the device for a model that is not loaded yet; encoders stay on the CPU.
        allow_truncated: accept sound that cannot be decoded to its end.

    Returns:
        For each query one map per frame on the encoder's grid, each summing to one, with the times of the frames, and
        the presence of the query in the video's sound.

    Raises:
        QueryError: there is no query, or an empty one.
        MediaError: the file is unreadable, has no picture, or (by audio) no sound or only silence.
        CheckpointError: by audio, for a model that does not embed sound where its encoder embeds pictures.
        ConfigError: a number is out of range, or `by` is none of the three.
    """
    path = Path(path)
    if by not in get_args(LocalizeBy):
        raise ConfigError(f"by must be one of {', '.join(get_args(LocalizeBy))}, not {by!r}")
    _require_in_range(fps=(fps, FPS_RANGE), temperature=(temperature, TEMPERATURE_RANGE))
    asked = as_queries(["latent caption"] if by == "caption" else queries)
    _picture_stream(path)
    separator = model if isinstance(model, Separator) else load(model, device=device)
    vectors = [_target(separator, path, one.text or "", by, allow_truncated=allow_truncated) for one in asked]
    reasons = [None] if by == "caption" else separator.reasons_not_understood(asked)
    heard = [Presence()] if by == "caption" else presences(separator, path, asked, allow_truncated=allow_truncated)
    frames = stream_regions(path, separator.encoder, fps=fps)
    maps, times = _maps_over_time(frames, vectors, temperature=temperature, doubts=by == "text")
    return [
        Localization(heat, times, one.name, reason, found.presence, found.present and reason is None)
        for heat, one, reason, found in zip(maps, asked, reasons, heard, strict=True)
    ]


def _maps_over_time(
    frames: Iterator[tuple[float, Tensor, Tensor]],
    vectors: Sequence[Float[Tensor, "D"]],
    *,
    temperature: float,
    doubts: bool,
) -> tuple[Float32[np.ndarray, "Q K H W"], tuple[float, ...]]:
    """Return the maps of all vectors, frame by frame, and the times of the frames."""
    times: list[float] = []
    maps: list[Float32[np.ndarray, "Q H W"]] = []
    for time_seconds, regions, doubt in frames:
        times.append(time_seconds)
        low = doubt[None] if doubts else None
        maps.append(np.concatenate([heat_maps(regions[None], one, low, temperature=temperature) for one in vectors]))
    return np.stack(maps, axis=1), tuple(times)


def _require_in_range(**values: tuple[float, tuple[float, float]]) -> None:
    """Raise ConfigError for the first value that lies outside its range."""
    for name, (value, (low, high)) in values.items():
        if not low <= value <= high:
            raise ConfigError(f"{name} must be between {low} and {high}, not {value}")


def heat_maps(
    regions: Float[Tensor, "K H W D"],
    vector: Float[Tensor, "D"],
    doubt: Float[Tensor, "K H W"] | None = None,
    *,
    temperature: float = 0.01,
) -> Float32[np.ndarray, "K H W"]:
    """Return, per frame, the softmax over its H·W regions of their cosine with a vector, divided by the temperature.

    Source: VAST, Fig. 5; spec section 4. That the cosines of regions in which nothing is seen are lowered, by `doubt`,
    is ours.
    """
    cosines = F.normalize(regions.float(), dim=-1) @ F.normalize(vector.float(), dim=-1)
    if doubt is not None:
        cosines = cosines - doubt
    maps: np.ndarray = torch.softmax(cosines.flatten(1) / temperature, dim=-1).view(cosines.shape).numpy()
    return maps


def stream_regions(
    path: Path, encoder: SharedEncoder, *, fps: float
) -> Iterator[tuple[float, Float[Tensor, "H W D"], Float[Tensor, "H W"]]]:
    """Yield (time in seconds, region embeddings, their doubt) of a video's frames, at `fps` per second.

    The doubt is 0 everywhere for an encoder that is no `DoubtingEncoder`. A video with fewer frames than that gives
    each of its frames once.
    """
    frames = _different(stream_frames(path, fps=fps))
    while batch := list(islice(frames, _BATCH_FRAMES)):
        pictures = [frame for _, frame in batch]
        if isinstance(encoder, DoubtingEncoder):
            regions, doubt = encoder.encode_regions_with_doubt(pictures)
        else:
            regions = encoder.encode_regions(pictures)
            doubt = torch.zeros(regions.shape[:3])
        yield from zip((time_seconds for time_seconds, _ in batch), regions, doubt, strict=True)


def audio_vector(separator: Separator, path: Path, query: str, *, allow_truncated: bool = False) -> Float[Tensor, "D"]:
    """Embed what a query separates from a file: `pool(E(log(mask ⊙ mixture)))` (VAST, section 3).

    The paper embeds clips of one length. *Our deviation:* a file is cut into pieces as long as a training clip, and
    their embeddings are averaged, weighted by the energy that was separated in each.

    Raises CheckpointError for a model without an audio embedding in the encoder's space, MediaError for a file without
    sound, or with silence only.
    """
    model = separator.model
    if model.contract.audio_space != "query":
        raise CheckpointError(
            f"{separator.checkpoint.path}: a model of kind '{separator.checkpoint.model_name}' cannot compare sound "
            "with the picture; give --model a checkpoint of kind vast, or localise by text"
        )
    signal, multiple = separator.signal, model.contract.time_multiple
    length = round_up(num_frames(signal.clip_samples, signal), multiple)
    options = SeparationOptions(allow_truncated=allow_truncated)
    running = separator.start(path, [Query(query, text=query)], options, references=())
    total, energy = torch.zeros(separator.encoder.dim), 0.0
    separated = (segment.masks[0] * segment.magnitude for segment in running.mask_segments())
    for piece in _pieces(separated, length):
        with torch.inference_mode():
            embedding = model.embed_audio(network_input(piece[None], round_up(piece.shape[-1], multiple)))[0]
        weight = float(piece.square().sum())
        total, energy = total + weight * embedding.cpu().float(), energy + weight
    if energy == 0.0:
        raise MediaError(f"{path}: is silent, so '{query}' has no sound to localise; localise by text")
    return total / energy


def centre_seconds(path: Path) -> float:
    """Return the middle of a video's picture, in seconds; MediaError when it has none."""
    stream = _picture_stream(path)
    return (stream.duration_seconds or probe(path).duration_seconds) / 2


def output_files(
    out: Path | None = None, *, source: Path, arrays: bool = False, into_video: bool = False
) -> tuple[Path, ...]:
    """Return the files that `--out` names: a video with a picture of its centre frame, or the picture only; arrays.

    A folder that exists, or a name without a suffix, gets `heat.mp4` and `heat.png`, and nothing named is the folder
    that this is run in. With `into_video` the suffix is the source's, where that container can hold what is written,
    else `.mkv`. Nothing is written yet.

    Raises ConfigError for another suffix, MediaError for a place that cannot be written, and for a file that would be
    replaced and is no earlier result for the same video.
    """
    out = Path() if out is None else out
    if into_video and out.suffix.lower() == ".png":
        raise ConfigError(
            f"--out {out}: is a picture, and --into-video writes a video; give a video's name or a folder"
        )
    if out.is_dir() or not out.suffix:
        out = out / f"heat{picture_suffix(source) if into_video else '.mp4'}"
    if out.suffix.lower() not in (*VIDEO_SUFFIXES, ".png"):
        raise ConfigError(f"--out {out}: expected a video ({', '.join(VIDEO_SUFFIXES)}), a picture (.png) or a folder")
    if into_video:
        require_room_for_sounds(source, out)
    suffixes = ([] if out.suffix.lower() == ".png" else [".png"]) + ([".npz"] if arrays else [])
    files = (out, *(out.with_suffix(suffix) for suffix in suffixes))
    require_place(out.parent)
    for file in files:
        if file.is_dir():
            raise write_failure(file, IsADirectoryError(errno.EISDIR, ""))
        if file.exists() and source.exists() and file.samefile(source):
            raise MediaError(f"{file}: is the video itself; give --out another name")
        if file.exists() and _mark_of(source) not in _comment_in(file):
            raise MediaError(f"{file}: is there already and no earlier result for this video; give --out another name")
    return files


def _mark_of(source: Path) -> str:
    """Return what is written into the results of a video, by which they are known; it does not tell the path."""
    return f"trisep localize {hashlib.sha256(os.fsencode(source.resolve())).hexdigest()[:16]}"


def _comment_in(file: Path) -> str:
    """Return what a file says of itself, the mark of a result among it."""
    try:
        if file.suffix.lower() == ".png":
            with Image.open(file, formats=["PNG"]) as picture:
                return str(picture.info.get("comment", ""))
        if file.suffix.lower() == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                return str(arrays["mark"])
        with open_media(file) as container:
            return container.metadata.get("comment", container.metadata.get("COMMENT", ""))
    except (MediaError, OSError, ValueError, KeyError, SyntaxError, zipfile.BadZipFile):
        return ""


def write_outputs(
    found: Sequence[Localization],
    path: Path,
    files: Sequence[Path],
    *,
    into_video: bool = False,
    allow_truncated: bool = False,
) -> None:
    """Write overlays of a video and the arrays, each by its suffix; folders are made.

    Each file is moved into place when it is complete. A video is upright, in its own size, at a constant frame rate,
    with its own sound if it has any that can be read (else a warning says so); with `into_video` each frame keeps its
    own time, and all sounds, subtitles and chapters are copied untouched. A picture is the centre frame. A NumPy
    archive (.npz) holds `maps` [Q, K, H, W], `frame_times_seconds` [K], `queries`, `understood`, `presence` (NaN where
    there is no sound to hear) and `present` [Q], and `mark`. Each file holds a mark of the video that it belongs to.

    Raises MediaError when a file cannot be written.
    """
    overlay = HeatOverlay(found)
    for file in files:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_failure(file, error) from error
        if file.suffix.lower() == ".png":
            time_seconds = centre_seconds(path)
            picture = overlay.draw(read_frames(path, [time_seconds])[0], time_seconds)
            with replacing(file) as temporary:
                (about := PngInfo()).add_text("comment", _mark_of(path))
                Image.fromarray(picture).save(temporary, pnginfo=about)
        elif file.suffix.lower() == ".npz":
            _write_maps(found, file, _mark_of(path))
        elif into_video:
            timed = _different(stream_frames(path, fps=_MAX_OUTPUT_FPS))
            pictures = ((at, overlay.draw(frame, at)) for at, frame in timed)
            replace_picture(path, pictures, file, comment=_mark_of(path))
        else:
            info = probe(path)
            sound = _sound_of(path, allow_truncated=allow_truncated) if info.audio else None
            fps = min(info.video[0].fps or _FALLBACK_FPS, _MAX_OUTPUT_FPS)
            frames = (overlay.draw(frame, time_seconds) for time_seconds, frame in stream_frames(path, fps=fps))
            write_video(file, frames, fps=fps, audio=sound, comment=_mark_of(path))


def summary_lines(found: Sequence[Localization], files: Sequence[Path]) -> list[str]:
    """Return the files that were written, and for each query where it is most, over all frames, and if it is heard.

    The place is a cell of the grid, by its middle in shares of width and height, as `--region` takes it.
    """
    rows = []
    for one in found:
        mean = one.maps.mean(axis=0)
        row, column = np.unravel_index(mean.argmax(), mean.shape)
        x, y = (column + 0.5) / mean.shape[1], (row + 0.5) / mean.shape[0]
        heard = {None: "", True: "heard", False: "probably not heard"}[one.present]
        rows.append((short_query(one.query), f"mostly at {x:.2f},{y:.2f}", heard))
    return [", ".join(map(str, files)), *columns(rows)]


def warning_lines(found: Sequence[Localization]) -> list[str]:
    """Return one line for each query that is not understood, or probably not heard in the video."""
    reasons = {one.query: one.not_understood for one in found if one.not_understood is not None}
    reasons |= {
        one.query: f"probably not heard (presence {one.presence:.2f}); its map shows where the picture is most like it"
        for one in found
        if one.present is False and one.not_understood is None
    }
    return [f"{short_query(one.query)}: {reasons[one.query]}" for one in found if one.query in reasons]


def _write_maps(found: Sequence[Localization], file: Path, mark: str) -> None:
    """Write the maps of all queries as a NumPy archive."""
    with replacing(file) as temporary:
        np.savez(
            temporary,
            maps=np.stack([one.maps for one in found]),
            frame_times_seconds=np.array(found[0].frame_times_seconds),
            queries=np.array([one.query for one in found]),
            understood=np.array([one.not_understood is None for one in found]),
            presence=np.array([np.nan if one.presence is None else one.presence for one in found]),
            present=np.array([bool(one.present) for one in found]),
            mark=np.array(mark),
        )


def _sound_of(path: Path, *, allow_truncated: bool) -> Audio | None:
    """Return the sound of a video; None, and a warning on stderr, where it cannot be read."""
    try:
        return read_audio(path, allow_truncated=allow_truncated)
    except MediaError as error:
        print(f"trisep: warning: the video is written without its sound: {error}", file=sys.stderr)
        return None


def _target(
    separator: Separator, path: Path, query: str, by: LocalizeBy, *, allow_truncated: bool
) -> Float[Tensor, "D"]:
    """Return the vector that regions are compared with."""
    if by == "audio":
        return audio_vector(separator, path, query, allow_truncated=allow_truncated)
    if by == "caption":
        centre = separator.encoder.encode_image(list(read_frames(path, [centre_seconds(path)])))
        return find_captions(separator.encoder, centre, CaptionSettings()).captions[0]
    return encode_query_text(separator.encoder, query, ground=False)


def _picture_stream(path: Path) -> VideoStream:
    """Return the video stream of a file; MediaError when it has none."""
    streams = probe(path).video
    if not streams:
        raise MediaError(f"{path}: holds no picture to localise the query in; give a video")
    return streams[0]


def _different(frames: Iterator[tuple[float, Any]]) -> Iterator[tuple[float, Any]]:
    """Yield the frames without those that repeat the one before."""
    last_seconds: float | None = None
    for time_seconds, frame in frames:
        if time_seconds != last_seconds:
            yield time_seconds, frame
        last_seconds = time_seconds


def _pieces(parts: Iterator[Float[Tensor, "256 n"]], num_frames: int) -> Iterator[Float[Tensor, "256 m"]]:
    """Yield the same frames in pieces of equal length; the last may be shorter."""
    waiting: Tensor | None = None
    for part in parts:
        waiting = part if waiting is None else torch.cat([waiting, part], dim=-1)
        while waiting.shape[-1] >= num_frames:
            yield waiting[..., :num_frames]
            waiting = waiting[..., num_frames:]
    if waiting is not None and waiting.shape[-1]:
        yield waiting
