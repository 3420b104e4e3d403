"""Every protocol: its list is frozen, seeded and lazy; the rules that come from public code draw what
that code draws.
"""

import inspect
import random
from itertools import combinations, islice
from pathlib import Path

import pytest
from clip_lists import avmini_rows, write_list

import trisep.protocols
from trisep.errors import ConfigError, MediaError
from trisep.protocols import ProtocolMixture, ProtocolSource, broad, mini_sets, protocol, protocol_names
from trisep.protocols.clip_lists import read_clips
from trisep.protocols.pair_files import read_pairs, write_pairs
from trisep.types import Place

ALL = (
    "avmini",
    "avmini-duets",
    "avmini-offscreen",
    "clipsep-clean+",
    "clipsep-music",
    "clipsep-music+",
    "cosep-550",
    "duets",
    "esc50",
    "hfra",
    "sop",
    "vast",
)
INSTRUMENTS = ("accordion", "cello", "flute")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = avmini_rows()
    rows += [(f"test/{index}.mp4", "test", INSTRUMENTS[index % 3]) for index in range(9)]
    rows += [(f"target/{index}.mp4", "target", "cello") for index in range(4)]
    rows += [(f"interferer/{index}.mp4", "interferer", "rain") for index in range(7)]
    rows += [
        (f"esc/{fold}-{index}.ogg", f"fold{fold}", ("dog", "rain")[index % 2]) for fold in (2, 1) for index in range(4)
    ]
    write_list(tmp_path / "manifest.csv", rows)
    return tmp_path


def names(mixture: ProtocolMixture) -> tuple[str, ...]:
    return tuple(source.path.name for source in mixture.sources)


def test_every_protocol_says_how_loud_mixtures_are_and_how_a_model_hears_them() -> None:
    recorded = {name for name in protocol_names() if protocol(name).level_rule.startswith("sources as recorded, div")}
    assert recorded == {*ALL} - {"avmini", "avmini-offscreen"}
    assert protocol("avmini").level_rule.startswith("sources at -20 dBFS RMS, changed by their own gains; ")
    heard = {protocol(name).level_rule.partition("; ")[2] for name in protocol_names()}
    assert heard == {"a model hears the mixture at its level of training, or as it is if it was trained so"}


def test_the_protocols_there_are() -> None:
    assert tuple(protocol_names()) == tuple(
        sorted((*ALL, *(one.name for one in (*mini_sets.PROTOCOLS, *broad.PROTOCOLS))))
    )
    with pytest.raises(ConfigError, match="unknown protocol 'avmaxi': expected one of avmini, avmini-choosing"):
        protocol("avmaxi")


@pytest.mark.parametrize("name", ALL)
def test_a_list_is_the_same_whenever_it_is_drawn_and_never_mixes_a_clip_with_itself(name: str, data: Path) -> None:
    rules = protocol(name)
    drawn = list(rules.pairs(data, 0))
    assert drawn and drawn == list(rules.pairs(data, 0))
    assert list(islice(rules.pairs(data, 0), 2)) == drawn[:2]
    assert [mixture.index for mixture in drawn] == list(range(len(drawn)))
    assert all(len({source.path for source in mixture.sources}) == 2 for mixture in drawn)
    assert rules.num_scored <= 2 and all("{}" in template for template in rules.templates)
    if name != "avmini-duets":
        assert drawn != list(rules.pairs(data, 1))


@pytest.mark.parametrize("name", ALL)
def test_every_protocol_file_says_where_its_rule_comes_from(name: str) -> None:
    file = name.replace("-", "_").replace("+", "_plus")
    text = (Path(trisep.protocols.__file__).parent / f"{file}.py").read_text(encoding="utf-8")
    docstring = text.split('"""')[1]
    assert docstring.startswith(f"`{name}`") and ("Ours" in docstring or "ours" in docstring or "public" in docstring)


def test_the_rate_is_that_of_the_paper() -> None:
    rates = {name: (protocol(name).signal.sample_rate_hz, protocol(name).num_scored) for name in ALL}
    assert rates["sop"] == rates["vast"] == rates["duets"] == rates["cosep-550"] == (11025, 2)
    assert rates["hfra"] == (11625, 2) and protocol("hfra").signal.clip_samples == 5 * 11625
    assert rates["clipsep-music"] == rates["clipsep-music+"] == rates["clipsep-clean+"] == rates["esc50"] == (16000, 1)
    assert [name for name in ALL if not protocol(name).fixes_rate] == ["avmini", "avmini-duets", "avmini-offscreen"]


def test_training_sees_no_protocol_and_so_none_of_its_labels() -> None:
    source = Path(trisep.protocols.__file__).parent.parent
    rooms = ("training", "mixing", "losses", "models", "recipes", "store")
    training = [path for room in rooms for path in (source / room).rglob("*.py")]
    assert len(training) > 30
    assert [path.name for path in training if "trisep.protocols" in path.read_text(encoding="utf-8")] == []


def test_sop_draws_like_the_public_code(data: Path) -> None:
    for mixture in protocol("sop").pairs(data, 0):
        random_state = random.Random(mixture.index)
        drawn = random_state.randint(0, 8)
        assert names(mixture) == (f"{mixture.index}.mp4", f"{drawn if drawn != mixture.index else (drawn + 1) % 9}.mp4")


def test_other_seeds_are_far_from_every_index(data: Path) -> None:
    for mixture in protocol("clipsep-music+").pairs(data, 2):
        drawn = random.Random(mixture.index + 2 * 1_000_003).randint(0, 6)
        assert names(mixture) == (f"{mixture.index}.mp4", f"{drawn}.mp4")


def test_clipsep_draws_like_the_public_code(data: Path) -> None:
    for mixture in protocol("clipsep-music").pairs(data, 0):
        candidates = [index for index in range(9) if index != mixture.index]
        (drawn,) = random.Random(mixture.index).sample(candidates, 1)
        assert names(mixture) == (f"{mixture.index}.mp4", f"{drawn}.mp4")
    for mixture in protocol("clipsep-music+").pairs(data, 0):
        assert names(mixture) == (f"{mixture.index}.mp4", f"{random.Random(mixture.index).randint(0, 6)}.mp4")
        assert [source.label for source in mixture.sources] == ["cello", "rain"]


def test_vast_and_esc50_pair_different_classes(data: Path) -> None:
    for name in ("vast", "esc50"):
        assert all(
            first.label != second.label
            for first, second in (mixture.sources for mixture in protocol(name).pairs(data, 0))
        )
    folds = [
        [(source.group, source.path.name[0]) for source in mixture.sources]
        for mixture in protocol("esc50").pairs(data, 0)
    ]
    assert folds == [[("fold1", "1")] * 2] * 4 + [[("fold2", "2")] * 2] * 4


def test_esc50_has_five_folds_however_they_are_written(tmp_path: Path) -> None:
    splits = ("1", "fold2", "fold 3", "fold-4", "fold5", "0", "fold0", "fold6", "6", "dev")
    rows = [(f"{split}-{label}.ogg", split, label) for split in splits for label in ("dog", "rain")]
    drawn = list(protocol("esc50").pairs(write_list(tmp_path / "list.csv", rows), 0))
    assert {mixture.sources[0].group for mixture in drawn} == set(splits[:5])
    assert [mixture.index for mixture in drawn] == list(range(10))
    with pytest.raises(MediaError, match=r"lists no clip of the split a fold \(fold1 to fold5\)"):
        list(protocol("esc50").pairs(write_list(tmp_path / "other.csv", rows[-2:]), 0))


def test_a_pair_list_of_no_mixtures_has_a_head_for_two_sources(tmp_path: Path) -> None:
    assert list(write_pairs([], tmp_path / "pairs.csv", folder=tmp_path)) == []
    head = (tmp_path / "pairs.csv").read_text().strip().split(",")
    assert len(head) == 2 * 11 + 1 and head[11:13] == ["path_2", "label_2"] and head[-1] == "interference"
    assert list(read_pairs(tmp_path / "pairs.csv", folder=tmp_path)) == []


def test_cosep_takes_one_clip_of_each_class_and_ten_segments_of_each_pair(data: Path) -> None:
    drawn = list(protocol("cosep-550").pairs(data, 0))
    assert [names(mixture) for mixture in drawn[::10]] == [
        (f"{a}.mp4", f"{b}.mp4") for a, b in combinations(range(3), 2)
    ]
    assert len(drawn) == 30 and len({mixture.sources[0].start for mixture in drawn}) == 30
    assert all(0 <= source.start <= 1 for mixture in drawn for source in mixture.sources)


def test_lists_that_trisep_data_wrote_are_read_with_their_stretches(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("key,label,split\nb_3,cello,test\na,flute,test\nb_3,violin,test\n")
    (tmp_path / "test.csv").write_text(
        "key,source,start_seconds,end_seconds,sha256\na,a.mp4,,,00\nb_3,sub/b.mp4,3.0,13.0,11\n"
    )
    first, second = read_clips(tmp_path, {"test"})
    assert (first.path, first.label, first.start_seconds, first.end_seconds) == (tmp_path / "a.mp4", "flute", 0.0, None)
    assert (second.path, second.label, second.start_seconds, second.end_seconds) == (
        tmp_path / "sub" / "b.mp4",
        "cello and violin",
        3.0,
        13.0,
    )
    assert [source.label for source in read_clips(tmp_path, {"test"}, parts="one")] == ["flute"]
    assert [source.label for source in read_clips(tmp_path, {"test"}, parts="several")] == ["cello and violin"]
    (tmp_path / "one.csv").write_text("path,split,label\na.mp4,test,flute and cello\n")
    for parts in ("all", "one", "several"):
        assert len(read_clips(tmp_path / "one.csv", {"test"}, parts=parts)) == 1
    with pytest.raises(MediaError, match="lists no clip of the split train"):
        read_clips(tmp_path, {"train"})


@pytest.mark.parametrize("name", ["vast", "sop", "hfra", "clipsep-music", "duets"])
def test_solos_and_duets_of_one_list_are_never_in_one_score(tmp_path: Path, name: str) -> None:
    solos, duets = [f"solo{number}" for number in range(4)], [f"duet{number}" for number in range(4)]
    labels = [f"{key},{('tuba', 'oboe')[number % 2]},test" for number, key in enumerate(solos + duets)]
    (tmp_path / "labels.csv").write_text(
        "\n".join(["key,label,split", *labels, *(f"{key},harp,test" for key in duets)])
    )
    rows = [f"{key},{key}.mp4,,,0" for key in solos + duets]
    (tmp_path / "test.csv").write_text("\n".join(["key,source,start_seconds,end_seconds,sha256", *rows]) + "\n")
    drawn = {source.path.stem for mixture in protocol(name).pairs(tmp_path, 0) for source in mixture.sources}
    assert drawn <= set(duets if name == "duets" else solos) and len(drawn) > 2


def test_a_list_with_a_broken_row_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,split,label\na.mp4,test\n")
    with pytest.raises(MediaError, match="list.csv, line 2: expected 3 columns"):
        read_clips(tmp_path / "list.csv", {"test"})
    (tmp_path / "list.csv").write_bytes(b"path,split,label\n\xff\xfe\n")
    with pytest.raises(MediaError, match="list.csv: cannot be read as CSV"):
        read_clips(tmp_path / "list.csv", {"test"})


def test_pairs_are_written_and_read_back(tmp_path: Path) -> None:
    place = ProtocolSource(
        path=tmp_path / "a.flac",
        label="dog, big",
        picture=tmp_path / "a.mp4",
        place=Place(x=0.25, y=0.5),
        group="known",
    )
    stretch = ProtocolSource(
        path=Path("/elsewhere/b.mp4"),
        label="rain",
        query="heavy rain",
        gain_db=-3.5,
        start=0.1,
        start_seconds=3.0,
        end_seconds=13.5,
    )
    mixtures = [
        ProtocolMixture(index=0, sources=(place, stretch), interference=tmp_path / "noise.opus"),
        ProtocolMixture(index=1, sources=(stretch, place)),
    ]
    assert list(write_pairs(mixtures, tmp_path / "pairs.csv", folder=tmp_path)) == mixtures
    assert list(read_pairs(tmp_path / "pairs.csv", folder=tmp_path)) == mixtures
    assert str(tmp_path) not in (tmp_path / "pairs.csv").read_text()


def test_a_short_pair_list_is_enough(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("path_1,label_1,path_2,label_2\na.wav,dog,b.wav,rain\n")
    (mixture,) = read_pairs(tmp_path / "pairs.csv", folder=tmp_path)
    assert mixture.sources == (
        ProtocolSource(path=tmp_path / "a.wav", label="dog"),
        ProtocolSource(path=tmp_path / "b.wav", label="rain"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path_1,label_1,path_2\na,b,c\n", "lacks the column label_2"),
        ("path_1,label_1,path_2,label_2\na.wav,dog,,rain\n", "mixture 0: path_1 or path_2 is empty"),
        ("path_1,label_1,start_1,path_2,label_2\na.wav,dog,soon,b.wav,rain\n", "mixture 0: expected a number"),
        ("path_1,label_1,start_1,path_2,label_2\na.wav,dog,nan,b.wav,rain\n", "mixture 0: expected a number"),
        ("path_1,label_1,gain_db_1,path_2,label_2\na.wav,dog,inf,b.wav,rain\n", "mixture 0: expected a number"),
        ("path_1,label_1,end_seconds_1,path_2,label_2\na.wav,dog,-1,b.wav,rain\n", "mixture 0: expected a number"),
        ("path_1,label_1,x_1,y_1,path_2,label_2\na.wav,dog,0.5,2,b.wav,rain\n", "mixture 0: expected a number"),
    ],
)
def test_pair_lists_that_cannot_be_read(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(MediaError, match=message):
        list(read_pairs(tmp_path / "pairs.csv", folder=tmp_path))
    with pytest.raises(MediaError, match="no.csv: no such file; check the name"):
        list(read_pairs(tmp_path / "no.csv", folder=tmp_path))


@pytest.mark.parametrize("name", protocol_names())
def test_the_list_of_a_protocol_is_that_of_seed_0(name: str) -> None:
    assert inspect.signature(protocol(name).pairs).parameters["seed"].default == 0


@pytest.mark.parametrize(
    ("field", "lowest", "highest"), [("gain_db", -200, 200), ("start", 0, 1), ("x", 0, 1), ("y", 0, 1)]
)
def test_numbers_of_a_pair_list_reach_the_ends_of_their_ranges_and_no_further(
    field: str, lowest: float, highest: float, tmp_path: Path
) -> None:
    heads = ["path_1", "label_1", "path_2", "label_2", "x_1", "y_1", f"{field}_2"]
    for value, fits in ((lowest, True), (highest, True), (lowest - 0.5, False), (highest + 0.5, False)):
        row = ["a.wav", "dog", "b.wav", "rain", "0.5", "0.5", str(value)]
        (tmp_path / "pairs.csv").write_text(",".join(heads) + "\n" + ",".join(row) + "\n")
        if fits:
            assert len(list(read_pairs(tmp_path / "pairs.csv", folder=tmp_path))) == 1
        else:
            with pytest.raises(MediaError, match="mixture 0: expected a number"):
                list(read_pairs(tmp_path / "pairs.csv", folder=tmp_path))


@pytest.mark.parametrize("times", ["0,1g0", "nan,", "0,inf", "3,2", "1e300,"])
def test_a_clip_whose_times_are_no_stretch_is_named(tmp_path: Path, times: str) -> None:
    (tmp_path / "list.csv").write_text(f"path,split,label,start_seconds,end_seconds\na.mp4,dev,dog,{times}\n")
    with pytest.raises(MediaError, match=r"list\.csv: a\.mp4 from .* is no stretch; give seconds, the start first"):
        read_clips(tmp_path / "list.csv", {"dev"})


def test_spaces_are_no_part_of_a_label_and_a_clip_without_one_is_named(tmp_path: Path) -> None:
    rows = "path,split,label,query\na.mp4,dev, dog,\nb.mp4, dev,dog , a dog\nc.mp4,train,,\n"
    (tmp_path / "list.csv").write_text(rows)
    found = [(source.label, source.query) for source in read_clips(tmp_path / "list.csv", ["dev"])]
    assert found == [("dog", ""), ("dog", "a dog")]
    with pytest.raises(MediaError, match=r"list\.csv: c\.mp4 of the split train has no label; fill it in, or leave"):
        read_clips(tmp_path / "list.csv", ["dev", "train"])
