"""The mixture as its own estimate."""

import numpy as np
import pytest

from trisep.baselines.mixture import Config, estimate


@pytest.mark.parametrize(("config", "expected"), [(Config(), [0.2, -0.4]), (Config(divided=True), [0.05, -0.1])])
def test_copies(config: Config, expected: list[float]) -> None:
    estimates = estimate(np.array([0.2, -0.4], np.float32), num_sources=4, config=config)
    np.testing.assert_allclose(estimates, [expected] * 4, rtol=1e-6)
