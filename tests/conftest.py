"""Every function of the package is checked, in all tests, against its own annotations: types and array shapes."""

import os
import sys
from collections.abc import Iterator

import jaxtyping
import pytest
from hypothesis import settings

# Threads of torch that wait keep off the processor, which other tests need; read when torch is imported, here and in
# processes that tests start.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
settings.register_profile("untimed", deadline=None)  # no test fails because the machine is busy
settings.load_profile("untimed")
jaxtyping.install_import_hook("trisep", "annotation_check.check_annotations")


@pytest.fixture(autouse=True)
def a_process_of_its_own() -> Iterator[None]:
    """Accelerate keeps the precision of the first run of a process, and `separate` its model; each test starts as a
    process would.
    """
    yield
    if "trisep.separation.elsewhere" in sys.modules:
        sys.modules["trisep.separation.elsewhere"]._separator.cache_clear()
    if "accelerate.state" in sys.modules:
        sys.modules["accelerate.state"].AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(autouse=True)
def single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests compare to the last digit, whatever the processor: `auto` is single precision in them."""
    monkeypatch.setattr("trisep.separation.precision.bfloat16_pays", lambda device: False)


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """Turns the checking off, for tests of what a function itself says to arguments that do not fit."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
