"""`trisep store`: a clip store → whether it is intact."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Verify a clip store: every count and hash of its manifest is compared with the files.

    For example:

        trisep store check store
    """

    action: Annotated[Positional[Literal["check"]], arg(metavar="check")]
    """What to do with it."""
    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """A clip store that trisep prepare made."""


def run(arguments: Arguments) -> int:
    """Verify the store; returns 0 or raises StoreError."""
    from rich.console import Console

    from trisep.store.check import check_store

    check_store(arguments.store, console=Console()).raise_if_damaged()
    return 0
