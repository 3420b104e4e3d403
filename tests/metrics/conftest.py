"""Shared by the tests of the metrics."""

import jaxtyping
import pytest


@pytest.fixture
def without_shape_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch off the shape checks that only tests have, so that what a user meets is what is tested."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
