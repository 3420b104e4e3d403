"""The sound that asks for a source in `evaluate --query sound`: another recording of its label on the same list.

In training an example is another stretch of the clip (`training/queries.py`); clips that are mixed over their whole
length leave none, so here it is the next recording of the label. This is ours.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from trisep.encoders import HearingEncoder, load_encoder
from trisep.errors import ConfigError, QueryError
from trisep.evaluation.sounds import read_clip
from trisep.protocols import ProtocolMixture, ProtocolSource
from trisep.separation.examples import LONGEST_SECONDS

Examples = Mapping[str, tuple[ProtocolSource, ...]]
"""The sources of a list by label, each file once, in the order of their paths."""
_RATE_HZ = 16_000


def examples_of(mixtures: Iterable[ProtocolMixture]) -> Examples:
    """Collect the sources of a list by label."""
    found: dict[str, dict[str, ProtocolSource]] = {}
    for mixture in mixtures:
        for source in mixture.sources:
            found.setdefault(source.label, {}).setdefault(str(source.path), source)
    return {label: tuple(sources[path] for path in sorted(sources)) for label, sources in found.items()}


def example_for(source: ProtocolSource, examples: Examples) -> ProtocolSource:
    """Return the recording after this one among those of its label, after the last the first.

    Raises QueryError where the list has no other recording of the label.
    """
    others = [one for one in examples.get(source.label, ()) if one.path != source.path]
    if not others:
        raise QueryError(
            f"{source.path}: the list has no other recording of '{source.label}', which --query sound asks with; "
            "use --query text, or a list with several recordings of each label"
        )
    later = [one for one in others if str(one.path) > str(source.path)]
    return (later or others)[0]


@lru_cache(maxsize=1024)
def sound_vector(encoder: str, source: ProtocolSource) -> Float[Tensor, "D"]:
    """Return what an encoder hears in the first 8 s of a clip; ConfigError for one that hears nothing."""
    loaded = load_encoder(encoder)
    if not isinstance(loaded, HearingEncoder):
        raise ConfigError(f"encoder '{encoder}' embeds no sounds, so its models do not take --query sound; use text")
    sound = read_clip(source, _RATE_HZ)[: round(LONGEST_SECONDS * _RATE_HZ)]
    return loaded.encode_audio(torch.from_numpy(sound.copy())[None], _RATE_HZ)[0]
