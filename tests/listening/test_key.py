"""The key of a listening test: written and read back, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from trisep.errors import ConfigError
from trisep.listening.key import KeyRow, read_key, read_table, write_key

ROW = KeyRow(sample="s1", model="default", query_kind="text", label_a="dog, barking", label_b="rain", file='a "b".wav')


def test_a_key_comes_back_by_sample_in_its_order(tmp_path: Path) -> None:
    rows = [replace(ROW, sample="s2"), ROW]
    write_key(tmp_path / "key.csv", rows)
    assert list(read_key(tmp_path / "key.csv").items()) == [("s2", rows[0]), ("s1", ROW)]
    assert ROW.system == ("default", "text")
    head = (tmp_path / "key.csv").read_text().splitlines()[0]
    assert head == "sample,model,query_kind,label_a,label_b,file"


def test_a_sample_that_comes_twice_is_refused(tmp_path: Path) -> None:
    write_key(tmp_path / "key.csv", [ROW, ROW])
    with pytest.raises(ConfigError, match="key.csv: holds the sample s1 twice"):
        read_key(tmp_path / "key.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"sample,rater\ns1,anna\n", "lacks the column answer; expected sample, answer"),
        (b"sample,answer\n", "holds no line below its header"),
        (b"sample,answer\ns1,dog\ns2\n", "line 3 has fewer values than the header has columns"),
        (b"sample,answer\n\xff,dog\n", "cannot be read as CSV in UTF-8"),
    ],
)
def test_what_is_no_such_table(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(ConfigError, match=f"table.csv: {message}"):
        read_table(tmp_path / "table.csv", ["sample", "answer"])
    with pytest.raises(ConfigError, match="absent.csv: is not a file; expected a table with the columns sample"):
        read_table(tmp_path / "absent.csv", ["sample"])
