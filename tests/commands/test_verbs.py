"""Verbs are found by their files, summed up without being imported, and refuse numbers that are out of range."""

import dataclasses
import math
from pathlib import Path

import pytest

from trisep import commands
from trisep.commands import (
    bits_per_second,
    load_verb,
    require_between,
    require_not_negative,
    require_positive,
    summary,
    verbs,
)
from trisep.errors import ConfigError

FIRST = [
    *("separate", "localize", "tag", "web", "models", "info", "doctor"),
    *("data", "prepare", "embed", "store", "train", "push", "evaluate", "compare"),
]
LATER = ["analyze", "export", "import", "listening-test"]


@pytest.fixture
def a_folder_of_verbs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files in the place of those of the package; none of them can be imported."""
    stripes = "'''Count stripes\n    of a zebra: all of them.\n\n    By hand.\n    '''"
    lines = {
        "zebra": f"class Other:\n    '''No.'''\n\nclass Arguments:\n    {stripes}",
        "of_two_words": "class Arguments:\n    pass",
        "import_": "'''Not this.'''\n\ndef Arguments():\n    '''Nor this.'''",
        "train": "class Arguments:\n    '''Drive a train.'''",
        "models": "",
    }
    for name, text in lines.items():
        (tmp_path / f"{name}.py").write_text(f"{text}\nraise AssertionError('this file was imported')\n")
    monkeypatch.setattr(commands, "__path__", [str(tmp_path)])
    return tmp_path


def test_the_verbs_in_the_order_of_help() -> None:
    assert list(verbs()) == FIRST + LATER
    assert verbs()["listening-test"] == "listening_test" and verbs()["import"] == "import_"


def test_names_come_from_files_the_well_known_first(a_folder_of_verbs: Path) -> None:
    expected = {
        "models": "models",
        "train": "train",
        "import": "import_",
        "of-two-words": "of_two_words",
        "zebra": "zebra",
    }
    assert list(verbs().items()) == list(expected.items())


def test_the_summary_is_the_beginning_of_the_help_and_nothing_is_imported(a_folder_of_verbs: Path) -> None:
    assert {name: summary(name) for name in verbs()} == {
        "models": "",
        "train": "Drive a train",
        "import": "",
        "of-two-words": "",
        "zebra": "Count stripes of a zebra",
    }


@pytest.mark.parametrize("name", FIRST + LATER)
def test_every_verb_holds_frozen_arguments_and_what_runs_them(name: str) -> None:
    verb = load_verb(name)
    assert verb.__name__ == f"trisep.commands.{name.replace('-', '_') if name != 'import' else 'import_'}"
    assert (
        dataclasses.is_dataclass(verb.Arguments) and verb.Arguments.__dataclass_params__.frozen and callable(verb.run)
    )
    assert " ".join(verb.Arguments.__doc__.split()).startswith(summary(name)) and 10 < len(summary(name)) < 110


@pytest.mark.parametrize(
    ("value", "reason"), [(0, "above 0"), (-1.5, "above 0"), (math.nan, "above 0"), (math.inf, "finite")]
)
def test_what_must_be_positive(value: float, reason: str) -> None:
    require_positive(max_seconds=0.001, limit=None)
    with pytest.raises(ConfigError, match=f"^--max-seconds must be {reason}, got {value}$"):
        require_positive(limit=1, max_seconds=value)


def test_what_must_not_be_negative() -> None:
    require_not_negative(seed=0, num_workers=None)
    with pytest.raises(ConfigError, match="^--num-workers must not be negative, got -1$"):
        require_not_negative(seed=1, num_workers=-1)


@pytest.mark.parametrize("value", [-0.01, 1.01, math.nan, math.inf])
def test_what_must_lie_between_two_numbers(value: float) -> None:
    require_between(0, 1, least=0, most=1, middle=0.5, absent=None)
    with pytest.raises(ConfigError, match=f"^--the-threshold must be between 0 and 1, got {value}$"):
        require_between(0, 1, least=0, the_threshold=value)


def test_a_bit_rate_as_people_write_it() -> None:
    assert (bits_per_second("192k"), bits_per_second(" 64K "), bits_per_second("96000")) == (192000, 64000, 96000)
    for rate in ("", "k", "-1", "1.5k", "192kbit", "9" * 12):
        with pytest.raises(ConfigError, match="--audio-bitrate: expected bits per second, such as 192k"):
            bits_per_second(rate)
