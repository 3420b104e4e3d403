"""Files in the place of an analysis' outputs that no analysis wrote."""

from pathlib import Path

import pytest

from trisep.cli import main

WORDS = {
    "probe": "model --train store --test store --labels list.csv",
    "gap": "model --data store",
    "fusion": "a b --media media",
    "queries": "model --data list",
    "mixture": "model --data list",
}
MORE = {
    "probe": ["probe_classes.csv"],
    "fusion": ["fusion_acoustics.png"],
    "queries": ["queries_sources.csv", "pairs.csv"],
}
PLACES = [
    (name, file) for name in WORDS for file in (*(f"{name}.{end}" for end in ("csv", "md", "png")), *MORE.get(name, []))
]


@pytest.mark.parametrize(("name", "file"), PLACES)
def test_a_file_of_the_users_own_is_kept_before_any_work(
    name: str, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / file).write_text("label,notes\ndog,mine\n")
    # Nothing that the command asks for is there: the place of the outputs is looked at first.
    assert main(["analyze", name, *WORDS[name].split(), "--out", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"{file}: is there already and no result of trisep analyze {name}; choose another --out")
    assert [path.name for path in tmp_path.iterdir()] == [file]
    assert (tmp_path / file).read_text() == "label,notes\ndog,mine\n"
