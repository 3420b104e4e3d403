"""Recipes: one file per paper, each a set of functions that return one complete `Recipe`; `recipe(name)` gives one.

The files are found by name. A function named `clipsep` in `clipsep.py` is the recipe `clipsep`; `clipsep_music` there
is `clipsep-music`. A recipe is data alone: model, data, settings of training, and the numbers that the paper claims.
`override` changes one value by its dotted path. This package trains nothing.
"""

import importlib
import math
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from torch import nn

from trisep.encoders import NO_ENCODER, QUERY_TEMPLATES, TEXT_ENCODER_NAMES
from trisep.errors import ConfigError
from trisep.losses import Loss
from trisep.losses.masks import MaskLoss
from trisep.media.records import with_changes
from trisep.mixing.augmentation import AugmentationConfig
from trisep.mixing.mixture import MixingConfig
from trisep.types import SignalSettings

QueryKind = Literal[
    "image", "regions", "text", "hybrid", "mixed", "label", "frames", "cuts", "boxes", "sound", "sound_text", "none"
]
"""What queries a model is trained with (see `training/queries.py`); `text`, `hybrid`, `mixed`, `label`, `sound_text`
need labels."""


class ModelConfig(Protocol):
    """The frozen `Config` of a file in `trisep.models`."""

    @property
    def unet(self) -> Any:
        """Shape of its audio network, with a `time_multiple` (see `models.Contract`)."""
        ...

    @classmethod
    def tiny(cls) -> Any:
        """Configure a network of a few thousand parameters."""
        ...

    def build(self) -> nn.Module:
        """Build the network with fresh weights."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerConfig:
    """Optimiser and learning-rate schedule (a pure function of the step)."""

    kind: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    """Of SGD."""
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    """Weight decay, decoupled for Adam (AdamW); 0 is Adam."""
    warmup_steps: int = 0
    decay: Literal["constant", "linear", "cosine", "exponential", "step"] = "constant"
    decay_steps: int = 0
    """Step at which the decay has reached `final_factor` (`step`: falls to it at once); 0 stands for the last step."""
    final_factor: float = 1.0
    """Learning rate after the decay, as a share of `learning_rate`."""
    gradient_clip: float = 1.0
    """Largest norm of the gradient."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("learning_rate", "weight_decay", "warmup_steps", "decay_steps", "final_factor"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"optimizer.{name}: expected 0 or above and finite, got {getattr(self, name)}")
        for name, decay in (("momentum", self.momentum), *(("betas", beta) for beta in self.betas)):
            _require_decay(f"optimizer.{name}", decay)
        for name in ("epsilon", "gradient_clip"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"optimizer.{name}: expected above 0, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """Length, batch, precision and intervals of logging, validation and checkpoints."""

    num_steps: int
    batch_size: int = 32
    """Mixtures per step, over all processes."""
    accumulation_steps: int = 1
    """Micro-batches that one step's batch is cut into."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    ema_decay: float = 0.0
    """Decay of the averaged weights that are validated and kept; 0 keeps the raw ones."""
    checkpoint_steps: int = 1000
    validation_steps: int = 10000
    num_validation_mixtures: int = 64
    frozen: tuple[str, ...] = ()
    """Parts of the network that stay as `--init` left them, with all their parts, such
    as `unet.down` or `query_projection`."""
    seed: int = 1

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in (
            "num_steps",
            "batch_size",
            "accumulation_steps",
            "checkpoint_steps",
            "validation_steps",
            "num_validation_mixtures",
        ):
            if getattr(self, name) < 1:
                raise ConfigError(f"training.{name}: expected at least 1, got {getattr(self, name)}")
        if self.batch_size % self.accumulation_steps:
            raise ConfigError(
                f"training.accumulation_steps: expected a divisor of the batch size {self.batch_size}, got "
                f"{self.accumulation_steps}"
            )
        _require_decay("training.ema_decay", self.ema_decay)
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"training.seed: expected 0 to 2^63 - 1, got {self.seed}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """All settings of a training run, complete and typed."""

    name: str
    citation: str
    supervision: Literal["none", "labels"]
    encoder: str
    signal: SignalSettings
    mixing: MixingConfig
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    query: QueryKind = "image"
    templates: tuple[str, ...] = QUERY_TEMPLATES
    """Prompt templates of labels that are queries: one, or several whose raw embeddings are averaged."""
    model: ModelConfig
    loss: Loss = field(default_factory=MaskLoss)
    teacher: str | None = None
    """Audio teacher (one of `trisep.encoders.TEACHER_NAMES`) that embeds each mixture when it is read, for
    losses that need it."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig
    protocol: str
    claims: tuple[tuple[str, float], ...] = ()
    """Numbers that the paper prints for this recipe, by name."""

    def __post_init__(self) -> None:
        """Raise ConfigError for labels without declared supervision, and for queries that the encoder cannot embed."""
        if self.query in ("text", "hybrid", "mixed", "label", "sound_text") and self.supervision == "none":
            raise ConfigError(
                f"query: '{self.query}' needs labels, and the recipe {self.name} declares supervision = none"
            )
        if self.mixing.equalize_levels and self.signal.mixture_level_db is None:
            raise ConfigError("mixing.equalize_levels: needs a level in dBFS in signal.mixture_level_db, got none")
        if (self.mixing.balance or self.mixing.distinct_labels) and self.supervision == "none":
            raise ConfigError(
                "mixing.balance and mixing.distinct_labels need labels, and the recipe "
                f"{self.name} declares supervision = none"
            )
        if self.query not in ("label", "frames", "none") and self.encoder == NO_ENCODER:
            raise ConfigError(f"query: '{self.query}' needs an encoder, and the recipe {self.name} names none")
        if (
            self.query in ("image", "regions", "hybrid", "mixed", "cuts", "boxes")
            and self.encoder in TEXT_ENCODER_NAMES
        ):
            raise ConfigError(
                f"query: '{self.query}' needs pictures, and the encoder '{self.encoder}' embeds text only; "
                "expected text"
            )

    def tiny(self) -> "Recipe":
        """Reduce the recipe to two steps that take seconds on a CPU."""
        small = type(self.model).tiny()
        widths = {name: getattr(small, name) for name in ("unet", "image_width") if hasattr(small, name)}
        return replace(
            self,
            model=replace(self.model, **widths),  # type: ignore[type-var]
            signal=replace(self.signal, clip_samples=self.signal.hop_samples * 16 - 1),
            mixing=replace(self.mixing, num_frames=1),
            training=replace(
                self.training,
                num_steps=2,
                batch_size=2,
                accumulation_steps=1,
                checkpoint_steps=1,
                validation_steps=2,
                num_validation_mixtures=2,
            ),
        )


def recipe_names() -> list[str]:
    """List the names of all recipes."""
    return sorted(_functions())


def recipe(name: str) -> Recipe:
    """Return the recipe of that name; `ConfigError` for an unknown one."""
    functions = _functions()
    if name not in functions:
        raise ConfigError(f"unknown recipe '{name}': expected one of {', '.join(sorted(functions))}")
    return functions[name]()


def override(config: Any, assignments: tuple[str, ...]) -> Any:
    """Apply `dotted.path=value` assignments to a tree of frozen dataclasses.

    Each value is read as the type of its field, and all are applied at once, so that their order does not matter; of
    two values for one path the last counts.
    """
    changes = {}
    for assignment in assignments:
        path, separator, value = assignment.partition("=")
        if not separator:
            raise ConfigError(
                f"--set {assignment[:80]!r}: expected dotted.path=value, for example training.num_steps=1000"
            )
        changes[path.strip()] = value.strip()
    changed = with_changes(config, changes, "--set ")
    if isinstance(changed, Recipe):
        _require_whole_windows(changed)
    return changed


def _require_whole_windows(recipe: Recipe) -> None:
    """Raise ConfigError where the frames of a training clip are not a multiple of what the network halves."""
    multiple, hop = recipe.model.unet.time_multiple, recipe.signal.hop_samples
    num_frames = 1 + recipe.signal.clip_samples // hop
    if num_frames % multiple:
        fitting = max(1, round(num_frames / multiple)) * multiple * hop - 1
        raise ConfigError(
            f"signal.clip_samples: gives {num_frames} frames, expected a multiple of {multiple}, the "
            f"network's own, such as {fitting} samples"
        )


def _require_decay(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ConfigError(f"{name}: expected 0 or above and below 1, got {value}")


def _functions() -> dict[str, Callable[[], Recipe]]:
    found = {}
    for module_info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        for attribute, value in vars(module).items():
            if (
                attribute.startswith(module_info.name)
                and getattr(value, "__module__", None) == module.__name__
                and callable(value)
            ):
                found[attribute.replace("_", "-")] = value
    return found
