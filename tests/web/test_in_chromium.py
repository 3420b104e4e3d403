"""A person's way through the page in a real Chromium: from the first page to a saved video."""

import re
import time
from pathlib import Path

import numpy as np
import pytest
from chromium import CHROMIUM, Page, open_browser
from web_page import PATIENCE_SECONDS, Served

from trisep.media.audio import read_audio, write_audio
from trisep.media.probe import probe
from trisep.web.settings import WebSettings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH (Debian: apt-get install chromium)"),
]
BARRIERS = (Path(__file__).parent / "barriers.js").read_text(encoding="utf-8")
WATCH = """window.seen = [];
new MutationObserver(() => seen.push(Number(document.querySelector('#wave').getAttribute('aria-valuenow'))))
  .observe(document.querySelector('#wave'), {attributes: true})"""
"""Notes every position that is shown."""
DONE = "!document.querySelector('.track progress:not([hidden])')"


def sounds(page: Page, number: int) -> None:
    """Waits until so many rows, the rest among them, are finished."""
    page.wait(f"document.querySelectorAll('.track').length === {number} && {DONE}", PATIENCE_SECONDS)


def downloaded(folder: Path, name: str) -> Path:
    """The file of this name, once the browser has saved it."""
    path, end = folder / "downloads" / name, time.monotonic() + 60
    while not path.is_file():
        assert time.monotonic() < end, f"{name} was not saved"
        time.sleep(0.1)
    return path


def test_from_the_first_page_to_a_saved_video(served: Served, sample: Path, tmp_path: Path) -> None:
    with open_browser(tmp_path) as page:
        page.go(served.address)
        assert "token" not in page.value("location.href")
        page.wait("!document.querySelector('#sample').hidden")
        page.choose_files("#file", sample)
        page.wait("!document.querySelector('#work').hidden", PATIENCE_SECONDS)
        page.wait("document.querySelector('#video').readyState >= 2")

        page.click("#words")
        page.type("dog barking")
        page.press("Enter")
        sounds(page, 2)
        page.click("#picture", 0.75, 0.5)  # the trumpet
        sounds(page, 3)
        names = page.value("[...document.querySelectorAll('.name')].map(n => n.firstChild.value ?? n.textContent)")
        assert names == ["dog barking", "point at 0.0 s", "Everything else"]
        assert page.value("document.activeElement.id") != "words"

        page.press(" ", "Space", 32)
        page.wait("document.querySelector('#video').currentTime > 1 && !document.querySelector('#video').paused")
        assert page.value("document.querySelector('#play').getAttribute('aria-label')") == "Pause"
        page.press("1", "Digit1", 49)
        pressed = "[...document.querySelectorAll('.tools button[aria-pressed=true]')].map(b => b.ariaLabel)"
        assert page.value(pressed) == ["Solo dog barking"]
        page.press(" ", "Space", 32)
        page.wait("document.querySelector('#video').paused")
        page.click(".track:nth-child(1) .where")
        page.wait("document.querySelector('#heat').getContext('2d').getImageData(0, 0, 280, 280).data.some(v => v > 0)")

        page.click(".track:nth-child(1) .spectrum")
        page.wait("document.querySelector('.track:nth-child(1) img').naturalWidth === 1200", PATIENCE_SECONDS)
        assert page.value("document.querySelector('.track:nth-child(1) canvas').hidden")
        page.drag(page.middle("#wave", 0.3), page.middle("#wave", 0.5))
        assert re.fullmatch(
            r"Stop repeating 0:03\.\d to 0:05\.\d", page.value("document.querySelector('#repeat').textContent")
        )
        page.press(" ", "Space", 32)
        now = "Number(document.querySelector('#wave').getAttribute('aria-valuenow'))"
        page.value(WATCH)
        page.wait("seen.some((v, i) => v > 3.2 && seen[i + 1] < v - 0.2)")  # it began again
        assert page.value("Math.max(...seen)") < 6
        page.wait("!document.querySelector('#video').paused")  # it plays on once it has found the place
        page.press("Escape", "Escape", 27)
        page.wait(f"{now} > 5.3 && document.querySelector('#span').hidden")
        page.press(" ", "Space", 32)

        for width, dark in ((390, False), (390, True), (1280, True), (1280, False)):
            page.resize(width, 844, dark=dark)
            assert page.value("document.documentElement.scrollWidth <= innerWidth"), width
            edge = "Math.max(...[...document.querySelectorAll('.tools *')].map(e => e.getBoundingClientRect().right))"
            assert page.value(f"{edge} <= innerWidth - 16"), width
        page.click(".track:nth-child(1) .save")
        stem = downloaded(tmp_path, "dog barking.wav")
        page.click(".track:last-child .save")
        rest = downloaded(tmp_path, f"{sample.stem} everything else.wav")
        page.click("#save-mix")
        page.wait("document.querySelector('#saving').textContent.startsWith('Saved')", PATIENCE_SECONDS)
        video = downloaded(tmp_path, f"{sample.stem} mix.mp4")
        assert page.complaints == []
    assert read_audio(stem).num_samples == read_audio(rest).num_samples == read_audio(sample).num_samples
    info = probe(video)
    assert (info.video[0].width, info.video[0].height) == (640, 320)
    heard, whole = (read_audio(path).samples.mean(axis=0) for path in (video, sample))
    level = np.square(heard).mean() / np.square(whole).mean()
    assert 0.01 < level < 0.9, "the dog alone is softer than the dog with the trumpet"


def test_a_span_a_sound_and_other_words_are_asked_one_by_one(served: Served, sample: Path, tmp_path: Path) -> None:
    bark = tmp_path / "bark.wav"
    write_audio(bark, read_audio(sample, start_seconds=1.0, duration_seconds=1.0), subtype="wav_float32")
    with open_browser(tmp_path / "browser") as page:
        page.go(served.address)
        page.wait("!document.querySelector('#sample').hidden")
        page.resize(390, 844)
        page.click("#sample")
        page.wait("!document.querySelector('#work').hidden", PATIENCE_SECONDS)
        page.value("document.activeElement.blur()")
        for key, at in (("i", 0.1), ("o", 0.2)):  # a span by keys
            page.click("#wave", at)
            page.press(key)
        assert page.value("document.querySelector('#announce').textContent").startswith("A span from 0:01.")
        page.click("#ask-span")
        sounds(page, 2)
        page.choose_files("#example", bark)
        sounds(page, 3)
        names = "[...document.querySelectorAll('.name input')].map(n => n.value)"
        assert re.fullmatch(r"1\.\d-2\.\d s", page.value(names)[0]) and page.value(names)[1] == "bark"
        assert page.value("document.querySelectorAll('.is-bad').length") == 0
        newest = max(served.folder.iterdir(), key=lambda path: path.stat().st_mtime)
        state = served.told("GET", f"/api/sessions/{newest.name}")
        page.click(".track:nth-child(2) .name input")
        page.value("document.activeElement.select()")
        page.type("trumpet")
        page.press("Enter")
        page.wait(f"{names}[1] === 'trumpet'")
        sounds(page, 3)
        after = served.told("GET", f"/api/sessions/{state['key']}")
        assert after["stems"][0] == state["stems"][0], "the other is as it was"
        assert [stem["kind"] for stem in after["stems"]] == ["span", "text"]
        page.click("#close")
        page.wait("!document.querySelector('#start').hidden")
        assert page.complaints == []


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_everything_has_a_name_and_can_be_read(served: Served, tmp_path: Path, width: int, dark: bool) -> None:
    with open_browser(tmp_path / "browser") as page:
        page.go(served.address)
        page.wait("!document.querySelector('#sample').hidden")
        page.resize(width, 844, dark=dark)
        assert page.value(BARRIERS) == []
        page.click("#sample")
        page.wait("!document.querySelector('#work').hidden", PATIENCE_SECONDS)
        page.click("#words")
        page.type("asdfghj")
        page.press("Enter")
        sounds(page, 2)
        state = page.value("document.querySelector('.track .state').textContent")
        assert state.startswith("Not understood; name a sound in English"), state
        page.drag(page.middle("#wave", 0.3), page.middle("#wave", 0.5))
        page.click(".track:nth-child(1) .tools button")
        assert page.value(BARRIERS) == []
        page.value("document.querySelector('.state').style.color = '#777'")
        page.value("document.querySelector('#play').removeAttribute('aria-label')")
        assert len(page.value(BARRIERS)) == 2, "the check sees what is wrong"
        page.click("#close")
        page.wait("!document.querySelector('#start').hidden")


def test_what_cannot_be_read_is_said_where_people_look(served: Served, tmp_path: Path) -> None:
    before = set(served.folder.iterdir())
    bad = tmp_path / "holiday.mp4"
    bad.write_bytes(b"not a video at all")
    with open_browser(tmp_path / "browser") as page:
        page.go(served.address)
        page.wait("!document.querySelector('#sample').hidden")
        page.choose_files("#file", bad)
        page.wait("document.querySelector('#limits').className === 'problem'", PATIENCE_SECONDS)
        assert page.value("document.querySelector('#limits').textContent").startswith("holiday.mp4: cannot be read")
        assert not page.value("document.querySelector('#start').hidden")
    assert set(served.folder.iterdir()) == before


def test_where_no_more_sounds_may_be_asked_for_the_page_says_why(tmp_path: Path) -> None:
    small = Served(WebSettings(max_stems=1, device="cpu"))
    disabled = "['words', 'separate', 'ask-span'].map(id => document.getElementById(id).disabled)"
    reason = "document.querySelector('#full').textContent"
    hidden = "document.querySelector('#other-ways').hidden"
    try:
        with open_browser(tmp_path / "browser") as page:
            page.go(small.address)
            page.wait("!document.querySelector('#sample').hidden")
            page.click("#sample")
            page.wait("!document.querySelector('#work').hidden", PATIENCE_SECONDS)
            assert page.value(disabled) == [False] * 3 and page.value(reason) == "" and not page.value(hidden)
            page.click("#words")
            page.type("dog barking")
            page.click("#separate")
            page.wait("document.querySelector('#separate').disabled", PATIENCE_SECONDS)
            assert page.value(disabled) == [True] * 3 and page.value(hidden)
            assert page.value(reason) == "At most 1 at a time: remove one to ask for another sound."
            page.click(".track:nth-child(1) .remove")
            page.wait("!document.querySelector('#separate').disabled", PATIENCE_SECONDS)
            assert page.value(disabled) == [False] * 3 and page.value(reason) == "" and not page.value(hidden)
            assert page.complaints == []
    finally:
        small.stop()


def test_a_demonstration_invites_to_the_sample_alone(tmp_path: Path) -> None:
    demonstration = Served(WebSettings(demo=True, device="cpu"))
    try:
        with open_browser(tmp_path / "browser") as page:
            page.go(demonstration.address)
            page.wait("!document.querySelector('#sample').hidden")
            assert page.value("document.querySelector('#drop').innerText.trim()").splitlines()[0] == "Try the sample"
            assert page.value("document.querySelector('#limits').textContent").startswith("This is a demonstration")
    finally:
        demonstration.stop()
