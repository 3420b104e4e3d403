"""Times as people read them off a player."""

import pytest

from trisep.media.times import read_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("83.5", 83.5),
        (" 0 ", 0.0),
        ("1e3", 1000.0),
        ("-1", -1.0),
        ("1:23.5", 83.5),
        ("0:03", 3.0),
        ("1:3", 63.0),
        ("90:00", 5400.0),
        ("1:01:05", 3665.0),
        ("0:00:04.25", 4.25),
    ],
)
def test_seconds_minutes_and_hours(text: str, seconds: float) -> None:
    assert read_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "long", "1:60", "1:60:00", "1:", ":3", "1:-3", "-1:03", "1:2:3:4", "1.5:03"])
def test_what_is_no_time_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected seconds, or minutes and seconds as in 1:23\.5, got"):
        read_seconds(text)
