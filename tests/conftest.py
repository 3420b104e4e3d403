"""Every function of the package is checked, in all tests, against its own annotations: types and array shapes."""

import os
from collections.abc import Iterator

import jaxtyping
import pytest

# Threads of torch that wait keep off the processor, which other tests need; read when torch is imported, here and in
# processes that tests start.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
jaxtyping.install_import_hook("trisep", "annotation_check.check_annotations")


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """Turns the checking off, for tests of what a function itself says to arguments that do not fit."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
