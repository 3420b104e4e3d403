"""The files of the page: nothing from elsewhere, nothing inline, and every name that scripts look for is there."""

import re
from pathlib import Path

import pytest

from trisep import web

PAGE = Path(web.__file__).parent / "page"
FILES = sorted(PAGE.iterdir())


def text(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere(path: Path) -> None:
    addresses = re.findall(
        r"(?:https?:)?//[\w.]+", re.sub(r"^\s*//.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    )
    assert [address for address in addresses if address != "http://www.w3.org"] == []


def test_nothing_is_inline() -> None:
    page = text("index.html")
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page) == []
    for path in PAGE.glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|\beval\b|new Function|setAttribute\(\"style", path.read_text()
        ), path


def test_every_element_that_scripts_look_for_is_in_the_page() -> None:
    names = set(re.findall(r'\$\("([\w-]+)"\)', text("app.js")))
    assert len(names) > 20 and names <= set(re.findall(r'\bid="([\w-]+)"', text("index.html")))


def test_every_import_exists() -> None:
    for path in PAGE.glob("*.js"):
        for names, file in re.findall(r'import \{([^}]*)\} from "\./([^"]+)"', path.read_text(encoding="utf-8")):
            exported = set(re.findall(r"export (?:async )?(?:function|class|const) (\w+)", text(file)))
            assert {name.strip() for name in names.split(",")} <= exported, path.name


def test_every_input_and_picture_has_a_label() -> None:
    page = text("index.html")
    labelled = set(re.findall(r'<label[^>]*\bfor="([\w-]+)"', page))
    wrapped = {
        name
        for label in re.findall(r"<label.*?</label>", page, flags=re.DOTALL)
        for name in re.findall(r'id="([\w-]+)"', label)
    }
    inputs = set(re.findall(r'<input[^>]*\bid="([\w-]+)"', page))
    assert inputs and inputs <= labelled | wrapped
    assert all("alt=" in image for image in re.findall(r"<img[^>]*>", page)) and '<html lang="en">' in page
