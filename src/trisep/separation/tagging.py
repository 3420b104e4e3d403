"""What is heard in a sound, and when: the classes of the audio tower of `lite`, over the file and in every second."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from trisep.encoders.audio_tower import SoundClasses
from trisep.errors import MediaError
from trisep.media.audio import read_audio
from trisep.media.downmix import Downmix
from trisep.media.heard import heard
from trisep.types import Audio

_RATE_HZ = 16000


@dataclass(frozen=True, slots=True)
class Tag:
    """One kind of sound."""

    name: str
    """AudioSet's display name, or that of a class of our own."""
    probability: float
    """That it is heard in the file, 0 to 1."""
    per_second: tuple[float, ...]
    """The same for every second."""

    @property
    def likeliest(self) -> float:
        """The largest probability of any second or of the file, which tags are put in order by."""
        return max(self.probability, *self.per_second)

    def spans(self, least: float = 0.5) -> list[tuple[int, int]]:
        """Return the stretches, first and last second exclusive, in which it reaches `least` of its own maximum."""
        heard = np.array([0, *(value >= least * max(self.per_second) for value in self.per_second), 0], dtype=int)
        edges = np.flatnonzero(np.diff(heard))
        return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def tag(
    source: Path | Audio, *, num_tags: int = 10, stream: int | None = None, allow_truncated: bool = False
) -> list[Tag]:
    """Return the likeliest kinds of sound, the likeliest first.

    The order is that of the largest probability of any second or of the file, so that what is heard for a short time
    is found. MediaError where there is no sound, or one that cannot be decoded to its end unless `allow_truncated`.
    """
    form: Any = {"mono": True, "sample_rate_hz": _RATE_HZ, "stream": stream, "allow_truncated": allow_truncated}
    sound = read_audio(source, **form) if isinstance(source, Path) else source
    if not sound.num_samples:
        raise MediaError(f"{source if isinstance(source, Path) else 'the sound'}: holds no sample; give a longer sound")
    mono = Downmix(sound.sample_rate_hz, sound.num_channels).push(sound.samples)
    waveform = torch.from_numpy(heard(mono, sound.sample_rate_hz)[0])[None]
    classes = SoundClasses()
    whole = classes.logits(waveform, sound.sample_rate_hz)[0].sigmoid().numpy()
    seconds = classes.logits_per_second(waveform, sound.sample_rate_hz)[0].sigmoid().numpy()
    return _likeliest(classes.names, whole, seconds, num_tags)


def _likeliest(
    names: Sequence[str], whole: Float[np.ndarray, "C"], seconds: Float[np.ndarray, "N C"], num_tags: int
) -> list[Tag]:
    """Put the classes in order and keep the first."""
    order = np.argsort(-np.maximum(whole, seconds.max(axis=0)), kind="stable")[:num_tags]
    return [Tag(names[index], float(whole[index]), tuple(map(float, seconds[:, index]))) for index in order]
