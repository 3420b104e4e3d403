"""JSON and words become dataclasses only where every value is one that its field can hold."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trisep.errors import ConfigError, TrisepError
from trisep.media.records import MAX_JSON_DEPTH, checked, from_json, parse_json, read_json, with_changes


@dataclass(frozen=True, kw_only=True, slots=True)
class Inner:
    low: float = 0.0
    high: float = 1.0
    kind: Literal["a", "b"] = "a"

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ConfigError(f"low: expected at most {self.high}, got {self.low}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outer:
    count: int
    flag: bool = False
    name: str = "x"
    limit: float | None = None
    pair: tuple[int, float] = (1, 2.0)
    names: tuple[str, ...] = ()
    inner: Inner = field(default_factory=Inner)
    inners: tuple[Inner, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    rest: Mapping[str, Any] = field(default_factory=dict)


WHOLE = Outer(
    count=3,
    limit=0.5,
    names=("a", "b"),
    inner=Inner(low=0.25, kind="b"),
    inners=(Inner(),),
    counts={"a": 1},
    rest={"b": [None]},
)


def test_what_was_written_comes_back() -> None:
    assert from_json(Outer, parse_json(json.dumps(asdict(WHOLE)))) == WHOLE
    assert from_json(Outer, {"count": 3}) == Outer(count=3)
    assert type(from_json(Outer, {"count": 3, "limit": 2}).limit) is float


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": True}, "count: expected a whole number, got True"),
        ({"count": 3.0}, "count: expected a whole number, got 3.0"),
        ({"count": None}, "count: expected a whole number, got null"),
        ({"count": 10**40}, "count: expected a whole number, got a number beyond 2^63"),
        ({"flag": 1}, "flag: expected true or false, got 1"),
        ({"name": ["a"]}, "name: expected a text, got a list of 1"),
        ({"limit": "0.5"}, "limit: expected a finite number, got '0.5'"),
        ({"limit": float("nan")}, "limit: expected a finite number, got nan"),
        ({"limit": 1e300}, "limit: expected a finite number, got 1e+300"),
        ({"pair": [1]}, "pair: expected 2 values, got a list of 1"),
        ({"pair": [1, {}]}, "pair: expected a finite number, got an object"),
        ({"names": "ab"}, "names: expected a list, got 'ab'"),
        ({"inner": []}, "inner: expected the settings of Inner, got a list of 0"),
        ({"inner": {"wings": 2}}, "inner.wings: unknown setting; was it made by another version?"),
        ({"inner": {"kind": "c"}}, "inner.kind: expected one of a, b, got 'c'"),
        ({"inner": {"low": 2}}, "low: expected at most 1.0, got 2.0"),
        ({"inners": [{}, {"low": None}]}, "inners.low: expected a finite number, got null"),
        ({"counts": {"a": 0.5}}, "counts.a: expected a whole number, got 0.5"),
        ({"rest": [1]}, "rest: expected an object, got a list of 1"),
        ({"name": "x" * 10_000, "count": "y" * 10_000}, f"count: expected a whole number, got '{'y' * 60}…'"),
    ],
)
def test_a_value_that_does_not_fit_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        from_json(Outer, {"count": 1} | changes)
    assert str(raised.value) == message


def test_a_name_that_is_missing_is_said() -> None:
    with pytest.raises(ConfigError, match="count: is missing"):
        from_json(Outer, {})
    with pytest.raises(ConfigError, match="the content: expected an object, got 3"):
        checked(Mapping[str, Any], 3, "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("NaN", "NaN is no number"),
        ("[1e999]", "1e999 is too large a number"),
        ("[" * 100_000, f"nested more than {MAX_JSON_DEPTH} deep"),
        ("[" * 65 + "]" * 65, f"nested more than {MAX_JSON_DEPTH} deep"),
        ("{", "Expecting property name"),
        ("9" * 5000, "Exceeds the limit"),
    ],
)
def test_text_that_is_no_json(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ConfigError, match=f"a.json: not readable as JSON .*{message}"):
        read_json(tmp_path / "a.json")


def test_the_depth_that_is_allowed() -> None:
    assert parse_json("[" * 63 + "]" * 63)


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trisep.media.records.MAX_JSON_BYTES", 1 << 20)
    (tmp_path / "a.json").write_text(f'"{"a" * (1 << 20)}"')
    with pytest.raises(ConfigError, match="more than 1 MiB"):
        read_json(tmp_path / "a.json")


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    for name, message in (("fifo", "not a regular file"), ("zeros", "not a regular file"), ("loop", "no such file")):
        with pytest.raises(ConfigError, match=message):
            read_json(tmp_path / name)


def test_changes_are_applied_at_once() -> None:
    changes = {"inner.low": "3", "inner.high": "4", "limit": "none", "pair": "(5, 6)", "names": "", "flag": "TRUE"}
    changed = with_changes(WHOLE, changes)
    assert changed == with_changes(WHOLE, dict(reversed(changes.items())))
    assert (changed.inner, changed.limit, changed.pair) == (Inner(low=3.0, high=4.0, kind="b"), None, (5, 6.0))
    assert (changed.names, changed.flag, changed.count) == ((), True, 3)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("inner.lov", "--set inner.lov: unknown name 'lov'; did you mean 'low'?"),
        ("inner", "--set inner: 'inner' is a group; name one of low, high, kind"),
        ("count.x", "--set count.x: 'count' is a value, not a group"),
        ("", "--set: unknown name ''; expected one of count, "),
        ("counts", "--set counts: expected an object, got '1'"),
        ("inners", "--set inners: expected the settings of Inner, got '1'"),
    ],
)
def test_a_path_that_leads_nowhere(path: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        with_changes(WHOLE, {path: "1"}, "--set ")
    assert str(raised.value).startswith(message)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(st.sampled_from(["count", "inner", "low", "a"]), inside, max_size=3)
    ),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*Outer.__dataclass_fields__, "wings"]), JSON, max_size=4))
def test_whatever_json_says_the_answer_is_a_dataclass_or_one_line(values: dict[str, Any]) -> None:
    try:
        built = from_json(Outer, values)
    except TrisepError as error:
        assert "\n" not in str(error) and len(str(error)) < 300
    else:
        assert from_json(Outer, json.loads(json.dumps(asdict(built)))) == built
