"""Every function of the package is checked, in all tests, against its own annotations: types and array shapes."""

from collections.abc import Iterator

import jaxtyping
import pytest

jaxtyping.install_import_hook("trisep", "annotation_check.check_annotations")


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """Turns the checking off, for tests of what a function itself says to arguments that do not fit."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
