"""Mixtures over all miniature sets: two or three labels, equal and unequal levels, whole clips and cut ones."""

from pathlib import Path

import numpy as np
import pytest

from trisep.evaluation.sounds import mix
from trisep.media.audio_writer import write_audio
from trisep.protocols import ProtocolSource, protocol
from trisep.protocols.broad import PROTOCOLS, SETS
from trisep.protocols.clip_lists import half_of
from trisep.protocols.pair_files import read_pairs, write_pairs
from trisep.types import Audio


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three sets of forty held-out clips, whose labels partly agree."""
    for name in SETS:
        rows = [f"dev/{name}{number}.ogg,dev,label {number % 5}" for number in range(40)]
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.csv").write_text("\n".join(["path,split,label", *rows, "train/x.ogg,train,dog"]))
    return tmp_path


@pytest.mark.parametrize("name", [one.name for one in PROTOCOLS])
def test_mixtures_are_of_one_half_and_cover_sets_levels_and_lengths(name: str, data: Path) -> None:
    chosen = protocol(name)
    drawn = list(chosen.pairs(data, 0))
    assert len(drawn) == 200 and drawn == list(chosen.pairs(data, 0)) != list(chosen.pairs(data, 1))
    for number, mixture in enumerate(drawn):
        sources = mixture.sources
        assert len({source.label for source in sources}) == len(sources) == chosen.num_scored == 2 + ("triples" in name)
        assert {half_of(f"dev/{source.path.name}") for source in sources} == {name.rpartition("-")[2]}
        assert {source.path.parent.parent.name for source in sources} <= set(SETS)
        assert all(source.path.parent.parent.name == source.group for source in sources)
        assert all((source.gain_db != 0) == number % 2 and abs(source.gain_db) <= 5 for source in sources)
        ends = {source.end_seconds for source in sources}
        assert len(ends) == 1 and (ends == {None}) == (number % 4 < 2)
    gains = [source.gain_db for mixture in drawn[1::2] for source in mixture.sources]
    assert min(gains) < -4 and max(gains) > 4 and abs(np.mean(gains)) < 1
    lengths = [mixture.sources[0].end_seconds for number, mixture in enumerate(drawn) if number % 4 >= 2]
    assert 2 <= min(lengths) < 2.5 and 6.5 < max(lengths) <= 7 and len(set(lengths)) == 100
    counts = [sum(source.group == name for mixture in drawn for source in mixture.sources) for name in SETS]
    assert min(counts) > sum(counts) / 4


def test_lists_of_three_sources_are_written_and_read_back(data: Path) -> None:
    mixtures = list(protocol("broad-triples-test").pairs(data, 0))
    assert list(write_pairs(mixtures, data / "pairs.csv", folder=data)) == mixtures
    assert list(read_pairs(data / "pairs.csv", folder=data)) == mixtures


def test_the_gain_of_a_source_is_relative_to_the_level_of_the_protocol(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).normal(0, 0.05, (1, 16000)).astype(np.float32)
    write_audio(tmp_path / "a.wav", Audio(sound, 16000), subtype="wav_float32")
    sources = [ProtocolSource(path=tmp_path / "a.wav", label="a", gain_db=gain) for gain in (0.0, -5.0)]
    mixed = mix(sources, -20.0, 16000)
    levels = 10 * np.log10((mixed.astype(np.float64) ** 2).mean(axis=1))
    np.testing.assert_allclose(levels, [-20.0, -25.0], atol=0.01)
