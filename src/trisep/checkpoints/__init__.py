"""Checkpoints: their format, the names of those that are here, and the import of what the authors of papers published.

format.py     a folder of safetensors and JSON: models, and states of training
registry.py   models by name
published.py  state dicts of other projects → checkpoints
"""

from typing import Literal

PublishedKind = Literal["clipsep", "clipsep-nit", "clipsep-middle", "sound-of-pixels"]
"""The published networks that can be imported."""
