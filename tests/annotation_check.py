"""The type checker that conftest.py puts around every function of the package."""

from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintPep3119Exception

_check: Callable[..., Any] = beartype(conf=BeartypeConf(is_pep484_tower=True))


def check_annotations(function: Any) -> Any:
    """Beartype, taking an int where a float is asked for, as Python's typing rules do.

    A function that asks for a Protocol which is not runtime_checkable is left as it is: Python itself offers no way to
    check that.
    """
    try:
        return _check(function)
    except BeartypeDecorHintPep3119Exception:
        return function
