"""What the process of a lane does for a session: read its file, separate a query, find it in the picture, export.

Every sound of a session is a float32 wav file of one rate, length and number of channels, which the page reads in
pieces. `rest` is the sound of the file minus all stems, so a mix is a sum: rest · (mixture − Σ stems) + Σ gain · stem.
"""

import contextlib
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from trisep.errors import MediaError, QueryError, TrisepError
from trisep.media.audio import AudioWriter, read_audio, stream_audio
from trisep.media.files import replacing, write_json
from trisep.media.probe import probe
from trisep.media.sound_form import SoundForm, gain_to_full_scale
from trisep.separation.stems import output_names
from trisep.separation.streaming import Progress
from trisep.types import Place, Query, SignalSettings

_NUM_PEAKS = 1000
"""Points of a waveform on the page."""
_PEAK_SECONDS = 0.01
_NUM_TAGS, _NUM_SUGGESTIONS, _LEAST_PROBABILITY = 20, 6, 0.1
_UMBRELLAS = frozenset(
    {"Music", "Animal", "Domestic animals, pets", "Musical instrument", "Vehicle", "Wild animals", "Sound effect"}
    | {"Inside, small room", "Inside, large room or hall", "Outside, urban or manmade", "Outside, rural or natural"}
    | {"Bow-wow", "Yip", "Whimper (dog)", "Canidae, dogs, wolves"}
)
"""Classes of AudioSet that name no one sound, or one that another class names better."""
_SPECTROGRAM_SIZE, _SPECTROGRAM_RANGE_DB, _SPECTROGRAM_SAMPLES = (1200, 256), 70.0, 1 << 20
_MAX_HEAT_FPS, _MAX_HEAT_MAPS = 2.0, 600


class Tasks:
    """The tasks: methods of (task, progress) that return what the page is told, and raise TrisepError."""

    def __init__(self, model: str, *, device: str) -> None:
        """Nothing is loaded before it is needed."""
        self._model, self._device = model, device
        self._regions: tuple[str, Any] = ("", None)

    def load(self) -> None:
        """Load the model."""
        _ = self._separator

    def warm_up(self) -> None:
        """Separate a second of noise, so that what is computed once is there before the first query comes."""
        from trisep.types import Audio

        noise = np.random.default_rng(0).normal(0, 0.1, (1, 16000)).astype(np.float32)
        with contextlib.suppress(TrisepError):  # a model of labels, say, does not know the word
            self._separator.separate(Audio(noise, 16000), ["violin"])

    @cached_property
    def _separator(self) -> Any:
        from trisep.separation.separator import load

        return load(self._model, device=self._device)

    def read(self, task: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Decode the sound of `path` into `sound`, and describe both; MediaError for one longer than `max_seconds`."""
        path, sound, limit = Path(task["path"]), Path(task["sound"]), task["max_seconds"]
        info = probe(path)
        _require_length(path, info.duration_seconds, limit)
        head = read_audio(path, duration_seconds=0.0)
        layout: dict[str, Any] = {"sample_rate_hz": head.sample_rate_hz, "num_channels": head.num_channels}
        peaks = PeakMeter(head.sample_rate_hz)
        with AudioWriter(sound, **layout, subtype="wav_float32") as writer:
            for block in stream_audio(path):
                writer.write(block)
                peaks.update(block)
                seconds = writer.num_samples / head.sample_rate_hz
                _require_length(path, seconds, limit)
                progress(min(1.0, seconds / max(info.duration_seconds, 1e-3)))
        picture = info.video[0] if info.video else None
        size = None if picture is None else [picture.width, picture.height]
        return {"sound": {**layout, **_described(sound, layout), "peaks": peaks.values()}, "picture": size}

    def tags(self, task: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Suggest what to ask for: the likeliest kinds of sound that are heard, umbrella terms left out."""
        from trisep.separation.tagging import tag

        found = tag(Path(task["sound"]), num_tags=_NUM_TAGS)
        likely = [one.name for one in found if one.likeliest >= _LEAST_PROBABILITY]
        return {"words": [name.lower() for name in likely if name not in _UMBRELLAS][:_NUM_SUGGESTIONS]}

    def separate(self, task: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Separate one query from the session's sound into `out`."""
        from trisep.separation.batch import reason_of
        from trisep.separation.options import OutputOptions

        out = Path(task["out"])
        source = _source(task)
        report = self._separator.separate_to_files(
            source, [_query(task)], out, outputs=OutputOptions(residual=False), progress=progress
        )
        stem = report["stems"][0]
        layout = {"sample_rate_hz": source.sample_rate_hz, "num_channels": source.num_channels}
        peaks = _peaks(stream_audio(out / stem["file"]), source.sample_rate_hz)
        about = {key: stem[key] for key in ("file", "share", "presence", "present")}
        about["reason"] = reason_of(stem["query"], report["notes"])
        return {**about, **_described(out / stem["file"], layout), "peaks": peaks}

    def rest(self, task: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Measure the waveform of what no stem took."""
        rate = read_audio(Path(task["sound"]), duration_seconds=0.0).sample_rate_hz
        return {"peaks": _peaks(mix(_rest(task)), rate)}

    def spectrogram(self, task: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Draw a stem into `out`, a grey PNG: time to the right, frequency upwards on the logarithmic grid."""
        import torch
        from PIL import Image

        from trisep.spectrogram.log_frequency import to_log_frequency
        from trisep.spectrogram.stft import stft

        signal, width = SignalSettings(), _SPECTROGRAM_SIZE[0]
        columns: list[np.ndarray] = []
        for block in stream_audio(
            Path(task["stem"]), mono=True, sample_rate_hz=signal.sample_rate_hz, block_samples=_SPECTROGRAM_SAMPLES
        ):
            magnitude = to_log_frequency(stft(torch.from_numpy(block[0].copy()), signal).abs(), signal.num_log_bins)
            level_db = 20 * torch.log10(magnitude + 1e-6).numpy()
            columns.append(level_db[:, :: max(1, level_db.shape[1] // width)])
        level_db = np.concatenate(columns, axis=1)
        grey = ((level_db - level_db.max()) / _SPECTROGRAM_RANGE_DB + 1).clip(0, 1)
        picture = Image.fromarray((255 * grey[::-1]).astype(np.uint8)).resize(_SPECTROGRAM_SIZE, Image.Resampling.BOX)
        with replacing(Path(task["out"])) as temporary:
            picture.save(temporary, format="PNG")
        return {}

    def heat(self, task: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Write where in the picture a query is, over time, into `out`: heat 0 to 255 on the grid of the encoder."""
        from trisep.encoders import encode_query_text
        from trisep.figures.localization import relative_heat
        from trisep.queries.embed import embed_queries
        from trisep.separation.localize import heat_maps

        path, encoder, query = Path(task["path"]), self._separator.encoder, _query(task)
        if query.text is not None:
            vector = encode_query_text(encoder, query.text, ground=False)
        else:
            query = self._separator.listened(query, _source(task))
            vector = embed_queries(encoder, [query], source=path).vectors[0]
        times, regions, doubt = self._regions_of(path, progress)
        maps = heat_maps(regions, vector, doubt if query.text is not None else None)
        heat = np.rint(255 * relative_heat(maps)).astype(int)
        write_json(
            Path(task["out"]), {"times": times, "size": list(heat.shape[1:]), "maps": heat.tolist()}, indent=None
        )
        return {}

    def zip(self, task: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Write all stems and the rest into one archive."""
        out, stems = Path(task["out"]), task["stems"]
        names = output_names([stem["name"] for stem in stems])
        rest = out.with_name("residual.wav")
        _write_wav(rest, mix(_rest(task)), Path(task["sound"]))
        files = [*zip((Path(stem["sound"]) for stem in stems), names, strict=True), (rest, "residual")]
        with replacing(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for number, (file, name) in enumerate(files):
                archive.write(file, f"{name}.wav")
                progress((number + 1) / len(files))
        rest.unlink()
        return {"file": out.name, "title": f"{Path(task['title']).stem} stems.zip"}

    def export(self, task: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Write what is heard, by `gains`: the video with that sound, its picture copied, or a sound (24-bit wav)."""
        from trisep.media.remux import replace_audio, video_form

        path, out, sound = Path(task["path"]), Path(task["out"]), Path(task["sound"])
        title = f"{Path(task['title']).stem} {task['end']}"
        floats = out.with_name(f"{out.name}-floats.wav")
        rest = task["rest_gain"]
        parts = [(sound, rest), *((Path(stem["sound"]), stem["gain"] - rest) for stem in task["stems"])]
        peak = _write_wav(floats, mix(parts), sound, progress)
        gain = gain_to_full_scale(peak)
        if task["is_video"]:
            head = read_audio(sound, duration_seconds=0.0)
            suffix = video_form(path, num_channels=head.num_channels).suffix
            replace_audio(path, floats, out.with_suffix(suffix), gain=gain)
        else:
            suffix = ".wav"
            SoundForm(format="wav", subtype="int24").write(out.with_suffix(suffix), floats, gain=gain)
        floats.unlink()
        return {"file": out.with_suffix(suffix).name, "title": title + suffix}

    def _regions_of(self, path: Path, progress: Progress) -> tuple[list[float], Any, Any]:
        """Embed the regions of a video's frames; those of the last video are kept."""
        import torch

        from trisep.separation.localize import stream_regions

        if self._regions[0] != str(path):
            seconds = probe(path).duration_seconds
            times, regions, doubts = [], [], []
            for at, region, doubt in stream_regions(
                path, self._separator.encoder, fps=min(_MAX_HEAT_FPS, _MAX_HEAT_MAPS / max(seconds, 1e-3))
            ):
                times.append(at)
                regions.append(region)
                doubts.append(doubt)
                progress(min(1.0, at / max(seconds, 1e-3)))
            if not regions:
                raise QueryError(f"{path}: holds no picture to find a sound in")
            self._regions = (str(path), (times, torch.stack(regions), torch.stack(doubts)))
        found: tuple[list[float], Any, Any] = self._regions[1]
        return found


class PeakMeter:
    """The largest value of a sound over time, measured block by block."""

    def __init__(self, sample_rate_hz: int) -> None:
        """Start before the first sample."""
        self._hop = max(1, round(_PEAK_SECONDS * sample_rate_hz))
        self._waiting = np.zeros(0, np.float32)
        self._peaks: list[np.ndarray] = []

    def update(self, block: Float32[np.ndarray, "C n"]) -> None:
        """Measure the next samples."""
        loudest = np.concatenate([self._waiting, np.abs(block).max(axis=0)])
        whole = len(loudest) - len(loudest) % self._hop
        self._peaks.append(loudest[:whole].reshape(-1, self._hop).max(axis=1))
        self._waiting = loudest[whole:]

    def values(self) -> list[float]:
        """Return at most a thousand values, full scale 1, evenly spread over the sound."""
        peaks = np.concatenate([*self._peaks, self._waiting.max(keepdims=True, initial=0.0)])
        starts = np.linspace(0, len(peaks), min(_NUM_PEAKS, len(peaks)), endpoint=False).astype(int)
        return [round(float(value), 4) for value in np.maximum.reduceat(peaks, starts)]


def mix(parts: Sequence[tuple[Path, float]]) -> Iterator[Float32[np.ndarray, "C n"]]:
    """Yield the sum of sounds of one length, each with its gain, block by block; a gain of 0 is not read."""
    first, *others = [part for part in parts if part[1] != 0.0] or [(parts[0][0], 0.0)]
    for blocks in zip(*(stream_audio(path) for path, _ in (first, *others)), strict=True):
        total = np.zeros_like(blocks[0])
        for block, (_, gain) in zip(blocks, (first, *others), strict=True):
            total += np.float32(gain) * block
        yield total


def _rest(task: dict[str, Any]) -> list[tuple[Path, float]]:
    """Return the parts of what no stem took."""
    return [(Path(task["sound"]), 1.0), *((Path(stem["sound"]), -1.0) for stem in task["stems"])]


def _source(task: dict[str, Any]) -> Any:
    """Return the session's sound as it was decoded once; places of a query lie in the picture of the file itself."""
    from trisep.separation.source import Source

    sound = Path(task["sound"])
    head = read_audio(sound, duration_seconds=0.0)
    return Source(head.sample_rate_hz, head.num_channels, lambda: stream_audio(sound), Path(task["path"]))


def _query(task: dict[str, Any]) -> Query:
    """Return the query that a task names."""
    query, name = task["query"], task["name_of_query"]
    if "place" in query:
        return Query(name, place=Place(**query["place"]))
    if "image" in query:
        from trisep.media.image import read_image

        return Query(name, image=read_image(Path(query["image"])))
    if "sound" in query:
        return Query(name, sound=Path(query["sound"]))
    if "span" in query:
        return Query(name, span=tuple(query["span"]))
    return Query(name, text=query["text"])


def _write_wav(
    out: Path, blocks: Iterable[Float32[np.ndarray, "C n"]], like: Path, progress: Progress = lambda share: None
) -> float:
    """Write samples in the layout of another file and return their peak."""
    head, num_samples = read_audio(like, duration_seconds=0.0), max(1, round(probe_samples(like)))
    with AudioWriter(
        out, sample_rate_hz=head.sample_rate_hz, num_channels=head.num_channels, subtype="wav_float32"
    ) as writer:
        for block in blocks:
            writer.write(block)
            progress(0.5 * writer.num_samples / num_samples)
        return writer.peak


def probe_samples(path: Path) -> float:
    """Estimate how many samples per channel a wav file of the session holds."""
    info = probe(path)
    return info.duration_seconds * info.audio[0].sample_rate_hz


def _peaks(blocks: Iterable[Float32[np.ndarray, "C n"]], sample_rate_hz: int) -> list[float]:
    """Measure the waveform of a sound."""
    meter = PeakMeter(sample_rate_hz)
    for block in blocks:
        meter.update(block)
    return meter.values()


def _described(path: Path, layout: dict[str, int]) -> dict[str, int]:
    """Tell where in a wav file of floats the samples lie, and how many there are per channel."""
    from trisep.media.wav_header import declared_frames

    num_samples = declared_frames(path) or 0
    return {"num_samples": num_samples, "offset": path.stat().st_size - num_samples * layout["num_channels"] * 4}


def _require_length(path: Path, seconds: float, limit: float) -> None:
    """Raise MediaError for a sound that is too long."""
    if seconds > limit:
        raise MediaError(f"{path}: lasts {seconds / 60:.0f} minutes, here at most {limit / 60:.0f}; cut it first")
