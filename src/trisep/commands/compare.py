"""`trisep compare`: two evaluations of the same mixtures → which is better."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from trisep.commands import require_not_negative


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Compare two evaluations of the same mixtures: which is better, by how much, and on which classes.

    For example:

        trisep compare scores_a scores_b --out comparison
        trisep compare scores/text.csv scores/image.csv --metric snr
        trisep compare scores scores --system-b ideal-ratio-mask
    """

    a: Annotated[Positional[Path], arg(metavar="A")]
    """A folder or table that trisep evaluate wrote."""
    b: Annotated[Positional[Path], arg(metavar="B")]
    """Another one, or the same one with --system-b."""
    metric: str = "sdri"
    """The column that is compared."""
    system_a: Annotated[str | None, arg(metavar="NAME")] = None
    """The system of A to compare; the default is the first."""
    system_b: Annotated[str | None, arg(metavar="NAME")] = None
    """The system of B to compare; the default is the first."""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder for comparison.md, comparison.csv and comparison.png."""
    seed: int = 0
    """Seed of the bootstrap and the permutation test."""

    def __post_init__(self) -> None:
        """Raise ConfigError for a negative seed."""
        require_not_negative(seed=self.seed)


def run(arguments: Arguments) -> int:
    """Compare the two evaluations, print the result and write it where `--out` says; returns 0."""
    from contextlib import nullcontext

    from trisep.evaluation.compare import compare
    from trisep.media.lock import locked

    with nullcontext() if arguments.out is None else locked(arguments.out):
        comparison = compare(
            arguments.a,
            arguments.b,
            metric=arguments.metric,
            system_a=arguments.system_a,
            system_b=arguments.system_b,
            out=arguments.out,
            seed=arguments.seed,
        )
    print(comparison.text)
    return 0
