"""`trisep train`: a clip store and a recipe → a checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from trisep.commands import require_not_negative, require_positive
from trisep.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Train a separator on a clip store; clips are mixed and separated again, and no label is needed.

    For example:

        trisep train hfra-avmini --data store --out run
        trisep train hfra-avmini --data store --out run --set model.unet.base_width=16
        torchrun --nproc-per-node 4 -m trisep.cli train hfra-avmini --data store --out run

    After an interruption, run the same command again to continue; the numbers are those of an uninterrupted run.
    """

    recipe: Annotated[Positional[str], arg(metavar="RECIPE")]
    """Name of a recipe: the settings of a paper, or of the default model."""
    data: Annotated[str, arg(metavar="STORE|ADDRESS")]
    """A clip store with embeddings (see: trisep prepare, trisep embed); or the address of one that is streamed
    (s3://…, gs://…, http://…; needs --validation)."""
    out: Annotated[Path, arg(metavar="RUN")]
    """Folder for checkpoints, logs and plots."""
    set: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="PATH=VALUE")] = ()
    """Change one setting of the recipe, by its dotted path."""
    seed: int | None = None
    """Random seed: the same seed gives the same numbers; the default is the recipe's own."""
    precision: Literal["fp32", "bf16", "fp16"] | None = None
    """Numeric precision of the network; the default is the recipe's own."""
    offscreen: Annotated[Path | None, arg(metavar="STORE")] = None
    """Clip store of sounds that no query names, to mix in."""
    validation: Annotated[Path | None, arg(metavar="STORE")] = None
    """Clip store to validate on; the default is the training clips."""
    init: Annotated[str | None, arg(metavar="NAME|CHECKPOINT")] = None
    """Model to initialise the network from, by name (see: trisep models) or checkpoint folder; or resnet18-*.pth."""
    labels: Annotated[Path | None, arg(metavar="CSV|LISTS")] = None
    """The clips' labels (columns path, label; optional: group, domain, wordings with ";" between), for the few recipes
    that learn from labels; or the folder that trisep data status wrote."""
    keep_steps: Annotated[int, arg(metavar="STEPS")] = 0
    """Also keep the model of every so many steps, under kept/, to be evaluated over the steps; 0 keeps none."""
    device: Literal["auto", "cpu"] = "auto"
    """Device to compute on; auto takes a GPU if there is one (one per process under torchrun)."""
    workers: int = 1
    """Number of processes that read and mix clips."""
    shuffle_buffer: Annotated[int, arg(metavar="CLIPS")] = 1000
    """Of a streamed store: number of clips in memory, for each worker, among which mixtures are drawn."""

    def __post_init__(self) -> None:
        """Raise ConfigError for settings that are not PATH=VALUE, and for numbers out of range."""
        require_positive(shuffle_buffer=self.shuffle_buffer)
        require_not_negative(seed=self.seed, workers=self.workers, keep_steps=self.keep_steps)
        for override in self.set:
            path, equals, _ = override.partition("=")
            if not equals or not path.strip():
                raise ConfigError(
                    f"--set expects PATH=VALUE, for example optimizer.learning_rate=5e-4, got {override!r}"
                )

    @property
    def overrides(self) -> tuple[str, ...]:
        """All changes to the recipe, as PATH=VALUE: --set, then --seed and --precision."""
        named = {"training.seed": self.seed, "training.precision": self.precision}
        return (*self.set, *(f"{path}={value}" for path, value in named.items() if value is not None))


def run(arguments: Arguments) -> int:
    """Train, or continue to train, and print where the model is; returns 0."""
    from trisep.errors import needs_extra

    with needs_extra("trisep train", "train"):
        from trisep.recipes import override, recipe
        from trisep.training.initialisation import find_start
        from trisep.training.loop import TrainSettings, train

    settings = TrainSettings(
        data=arguments.data,
        out=arguments.out,
        offscreen=arguments.offscreen,
        validation=arguments.validation,
        init=None if arguments.init is None else find_start(arguments.init),
        labels=arguments.labels,
        keep_steps=arguments.keep_steps,
        cpu=arguments.device == "cpu",
        num_workers=arguments.workers,
        shuffle_buffer=arguments.shuffle_buffer,
    )
    print(train(override(recipe(arguments.recipe), arguments.overrides), settings))
    return 0
