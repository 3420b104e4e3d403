"""Our own parsers under a fuzzer that is guided by coverage: any bytes give a value or an error of `trisep.errors`.

    pip install atheris==3.0.0            (Linux; no extra of trisep brings it)
    python -m benchmarks.fuzz.parsers wav-header -max_total_time=60

The words after the name of the parser are options of libFuzzer; an input that fails is kept as `crash-…`. Files are
written into a folder in memory where there is one.
"""

import os
import sys
import tempfile
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

with atheris.instrument_imports(include=["trisep", "csv", "json"]):
    from trisep.datasets.clip_list import read_rows
    from trisep.errors import TrisepError
    from trisep.media.records import parse_json
    from trisep.media.wav_header import declared_frames, declared_rate_hz
    from trisep.protocols.clip_lists import read_clips
    from trisep.protocols.pair_files import read_pairs
    from trisep.queries.boxes import BoxList
    from trisep.queries.regions import box_query, region_query
    from trisep.store.index import read_index
    from trisep.store.inputs import read_clip_lists, read_exclusions
    from trisep.store.layout import ShardInfo

_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108 - a folder of its own is made in it
_FOLDER = Path(tempfile.mkdtemp(prefix="trisep-parsers-", dir=_MEMORY))


def wav_header(data: bytes) -> None:
    """The header of a wav file; what it declares is never negative, a part of a sample being none."""
    file = _file("a.wav", data if data[:4] in (b"RIFF", b"RF64") else b"RIFF\xff\xff\xff\x7fWAVE" + data)
    frames, rate_hz = declared_frames(file), declared_rate_hz(file)
    assert (frames is None or frames >= 0) and (rate_hz is None or rate_hz >= 0)


def index(data: bytes) -> None:
    """The index of a clip store."""
    shard = ShardInfo(name="shard-000000", num_clips=1, num_frames=1, size_bytes=10_240, sha256="0" * 64)
    deque(read_index(_file("index.jsonl", data), [shard]), maxlen=0)


def places(data: bytes) -> None:
    """Points and boxes, from text; what is taken lies in the picture."""
    text = data.decode("utf-8", "surrogateescape")
    for read in (region_query, box_query):
        with suppress(TrisepError):
            place = read(text).place
            assert place is not None and (place.in_pixels or (place.x <= 1 + 1e-6 and place.y <= 1 + 1e-6))


def clip_lists(data: bytes) -> None:
    """Lists of clips, of stretches, of what is left out, of pairs and of boxes."""
    file, readers = _file("list.csv", data), (_stretches, _clips, _pairs, _boxes, _rows, read_exclusions)
    for read in readers:
        with suppress(TrisepError):
            read(file)


def json_values(data: bytes) -> None:
    """JSON as cards, entries and settings are read."""
    with suppress(ValueError):
        parse_json(data)


def _stretches(file: Path) -> None:
    for one in read_clip_lists(_FOLDER, [file]):
        assert 0 <= (one.start_seconds or 0) < (1e9 if one.end_seconds is None else one.end_seconds)


def _clips(file: Path) -> None:
    read_clips(file, ["train", "dev"])


def _pairs(file: Path) -> None:
    list(read_pairs(file, folder=_FOLDER))


def _boxes(file: Path) -> None:
    BoxList(file).of("a.mp4")


def _rows(file: Path) -> None:
    list(read_rows(file, num_columns=4, form="a,b,c,d"))


def _file(name: str, data: bytes) -> Path:
    """Write the input."""
    (_FOLDER / name).write_bytes(data)
    return _FOLDER / name


PARSERS: dict[str, Callable[[bytes], None]] = {
    "wav-header": wav_header, "index": index, "places": places, "clip-lists": clip_lists, "json": json_values,
}  # fmt: skip
_SEEDS: dict[str, tuple[bytes, ...]] = {
    "wav-header": (b"fmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0data\x04\0\0\0\0\0\0\0", b"ds64\x1c\0\0\0"),
    "index": (
        b'{"description":[512,3],"frame_times_seconds":[0.0],"frames":[[1,2]],"key":"a","num_samples":9,"peak":0.5,'
        b'"rms_db":-20.0,"shard":0,"source":"a.mp4","start_seconds":0.0,"wav":[3,4],"wav_scale":1.0}\n',
    ),
    "places": (b"0.25,0.5", b"320px,180px,3", b"0,0.2,0.5,0.8,1e3", b"192k"),
    "clip-lists": (
        b"source,start_seconds,end_seconds\na.mp4,0.5,2\n",
        b"path,split,label,start_seconds,end_seconds,query\na.mp4,dev,dog,0,1,\n",
        b"path_1,label_1,path_2,label_2,gain_db_1,x_1,y_1\na.mp4,dog,b.mp4,cat,0,0.5,0.5\n",
        b"path,time_seconds,x,y,width,height,label,score\na.mp4,0,0.1,0.1,0.5,0.5,dog,0.9\n",
    ),
    "json": (b'{"a": [1, 2.5, null, "x"]}', b"[" * 70 + b"]" * 70, b"1e999", b"NaN"),
}


def guarded(name: str) -> Callable[[bytes], None]:
    """Return the parser, for which an error of ours is an answer."""

    def attempt(data: bytes) -> None:
        """Try one input."""
        with suppress(TrisepError):
            PARSERS[name](data)

    return attempt


def main() -> None:
    """Fuzz one parser until libFuzzer ends the process."""
    if len(sys.argv) < 2 or sys.argv[1] not in PARSERS:
        sys.exit(f"name a parser: {', '.join(PARSERS)}")
    name = sys.argv.pop(1)
    (_FOLDER / "a.mp4").touch()
    seeds = _FOLDER / "seeds"
    seeds.mkdir()
    for number, seed in enumerate(_SEEDS[name]):
        (seeds / str(number)).write_bytes(seed)
    atheris.Setup([*sys.argv, str(seeds)], guarded(name))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
