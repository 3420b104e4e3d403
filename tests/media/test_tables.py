"""CSV tables that users give: read row by row, and refused in one line that names file, line and column."""

from pathlib import Path

import pytest

from trisep.errors import MediaError
from trisep.media.tables import read_rows


def table(folder: Path, content: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_rows_by_column_whatever_their_order(tmp_path: Path) -> None:
    path = table(tmp_path, '\ufeffpath,label,more\r\na.mp4,"dog, barking",1\r\n\r\n"b ""2"".mp4",,\r\n')
    assert list(read_rows(path, {"label", "path"})) == [
        {"path": "a.mp4", "label": "dog, barking", "more": "1"},
        {"path": 'b "2".mp4', "label": "", "more": ""},
    ]


def test_columns_without_a_name_may_be_several(tmp_path: Path) -> None:
    assert [row["label"] for row in read_rows(table(tmp_path, "path,label,,\na,b,,\n"), ["path", "label"])] == ["b"]


def test_rows_before_a_bad_one_are_given(tmp_path: Path) -> None:
    rows = read_rows(table(tmp_path, "path,label\na,b\nc\n"), ["path"])
    assert next(rows) == {"path": "a", "label": "b"}
    with pytest.raises(MediaError, match="table.csv, line 3: expected 2 columns"):
        next(rows)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "lacks the columns label, path; expected them, separated by commas, in the first line, got ''"),
        ("path,title\na,b\n", "lacks the column label beside path; expected them, separated by commas"),
        ("path;label\na;b\n", "expected .*, separated by commas, in the first line, got 'path;label'$"),
        ("x" * 5000 + "\na\n", f"got '{'x' * 80}'$"),
        ("path,label,label\na,b,c\n", "names the column label twice; rename or remove one"),
        ("path,label\na,b,c\n", "line 2: expected 2 columns"),
        (
            b"path,label\n\xff\xfe,b\n",
            r"cannot be read as CSV \(.*utf-8.*expected the columns label, path, .* in UTF-8",
        ),
        ("path,label\n" + "x" * 200000 + ",b\n", r"cannot be read as CSV \(field larger than field limit"),
    ],
)
def test_what_is_no_such_table(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(MediaError, match=f"table.csv.*{message}"):
        list(read_rows(table(tmp_path, content), ("path", "label")))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "absent.csv", "no such file; check the name"), (tmp_path, "")):
        with pytest.raises(MediaError, match=f"^{path}: {reason}"):
            list(read_rows(path, ["path"]))
