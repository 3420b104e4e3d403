"""Files of embeddings: mapped as safetensors reads them, the same bytes for the same values."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file

from trisep.errors import StoreError
from trisep.store.embeddings import JoinedArray, hash_tensors, map_embeddings, read_embedding_header, write_embeddings


def _write(path: Path, num_frames: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(num_frames)
    tensors = {
        "vectors": generator.normal(size=(num_frames, 5)).astype(np.float32),
        "regions": generator.normal(size=(num_frames, 7, 7, 5)).astype(np.float16),
    }
    write_embeddings(path, tensors, encoder="toy", fingerprint="f1", shard_sha256="s1")
    return tensors


@pytest.mark.parametrize("num_frames", [0, 1, 9])
def test_mapped_tensors_equal_what_safetensors_reads(tmp_path: Path, num_frames: int) -> None:
    tensors = _write(tmp_path / "e.safetensors", num_frames)
    oracle = load_file(tmp_path / "e.safetensors")
    for name, mapped in map_embeddings(tmp_path / "e.safetensors").items():
        assert mapped.dtype == tensors[name].dtype
        np.testing.assert_array_equal(mapped, oracle[name])
        np.testing.assert_array_equal(mapped, tensors[name])


def test_header_says_where_the_embeddings_come_from(tmp_path: Path) -> None:
    _write(tmp_path / "e.safetensors", 4)
    info, shapes = read_embedding_header(tmp_path / "e.safetensors")
    assert (info.encoder, info.dim, info.fingerprint, info.shard_sha256) == ("toy", 5, "f1", "s1")
    assert shapes == {"vectors": (4, 5), "regions": (4, 7, 7, 5)}
    with safe_open(tmp_path / "e.safetensors", framework="np") as file:
        assert json.loads(file.metadata()["trisep"])["fingerprint"] == "f1"


def test_the_same_embeddings_give_the_same_bytes(tmp_path: Path) -> None:
    contents = set()
    for attempt in range(8):
        _write(tmp_path / f"{attempt}.safetensors", 3)
        contents.add((tmp_path / f"{attempt}.safetensors").read_bytes())
    assert len(contents) == 1


def test_captions_are_kept_with_the_settings_of_their_search(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    shapes = {"captions": (3, 5), "tokens": (3, 2, 4), "cosines": (3,)}
    tensors = {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    settings = {"num_tokens": 2, "optimizer": "Adam"}
    write_embeddings(
        tmp_path / "c.safetensors", tensors, encoder="toy", fingerprint="f1", shard_sha256="s1", settings=settings
    )
    info, found = read_embedding_header(tmp_path / "c.safetensors")
    assert (info.dim, info.settings, found) == (5, settings, shapes)
    mapped = map_embeddings(tmp_path / "c.safetensors")
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(mapped[name], tensor)
    assert hash_tensors(mapped) == info.tensors_sha256 != hash_tensors({**mapped, "tokens": mapped["tokens"] + 1})


@pytest.mark.parametrize("length", [0, 5, 200, -1])
def test_a_cut_file_is_a_clear_error(tmp_path: Path, length: int) -> None:
    path = tmp_path / "e.safetensors"
    _write(path, 4)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(StoreError, match=r"e\.safetensors: damaged embeddings .*trisep embed"):
        map_embeddings(path)


@given(data=st.data())
def test_joined_arrays_index_like_one(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=5).filter(lambda sizes: sum(sizes) > 0))
    whole = np.arange(sum(sizes) * 2).reshape(-1, 2)
    joined = JoinedArray(sizes, np.split(whole, np.cumsum(sizes)[:-1]).__getitem__)
    assert (len(joined), joined.shape, joined.dtype) == (len(whole), whole.shape, whole.dtype)
    number = data.draw(st.integers(-len(whole), len(whole) - 1))
    np.testing.assert_array_equal(joined[number], whole[number])
    numbers = data.draw(st.lists(st.integers(-len(whole), len(whole) - 1), max_size=6))
    np.testing.assert_array_equal(joined[numbers], whole[np.array(numbers, dtype=np.int64)])
    where = data.draw(st.slices(len(whole)))
    np.testing.assert_array_equal(joined[where], whole[where])
    with pytest.raises(IndexError, match="out of range"):
        joined[len(whole)]
