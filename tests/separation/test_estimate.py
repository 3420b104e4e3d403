"""The inference chain of models of waveforms: level, context, network, and the level again."""

import numpy as np
import torch

from trisep.media.level import level_db
from trisep.separation.infer import estimate
from trisep.types import SignalSettings

SOUND = np.random.default_rng(0).standard_normal(500).astype(np.float32) / 50


def test_the_network_hears_the_level_of_training_and_silence_beyond_the_ends() -> None:
    heard: list[torch.Tensor] = []

    def network(samples: torch.Tensor) -> torch.Tensor:
        """The sound and its double, without three samples of context."""
        heard.append(samples)
        return torch.stack([samples, 2 * samples], dim=1)[..., 3:-3]

    for level, shown in ((-20.0, -20.0), (None, level_db(SOUND))):
        stems = estimate(SOUND, network, SignalSettings(mixture_level_db=level), context_samples=3)
        np.testing.assert_allclose(stems, np.stack([SOUND, 2 * SOUND]), rtol=1e-5)
        assert stems.dtype == np.float32
        whole = heard[-1][0].numpy()
        assert whole.shape == (506,) and not whole[:3].any() and not whole[-3:].any()
        np.testing.assert_allclose(level_db(whole[3:-3]), shown, atol=1e-2)
