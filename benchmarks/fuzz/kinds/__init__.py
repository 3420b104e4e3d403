"""The kinds of input, one file each, found by name. A file has `prepare`, which writes good examples into a folder, and
`attempt`, which makes one hostile input from them in the working folder and hands it to the package.

`attempt` returns where the package took the input, and lets every exception out.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random


@dataclass(frozen=True)
class Kind:
    """One kind of input."""

    name: str
    prepare: Callable[[Path], None]
    attempt: Callable[[Random, Path, Path], None]


def all_kinds() -> dict[str, Kind]:
    """Return all kinds by name; their modules, and what they try, are imported."""
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    names = [module.__name__.rpartition(".")[2].replace("_", "-") for module in modules]
    return {name: Kind(name, module.prepare, module.attempt) for name, module in zip(names, modules, strict=True)}


def run_command(*words: str) -> None:
    """Run a command in this process; a refusal in one line is raised as the error that it came from."""
    from trisep.cli import load_verb, parse
    from trisep.errors import TrisepError

    try:
        verb, arguments = parse(words)
        load_verb(verb).run(arguments)
    except SystemExit:
        return  # --help and --version
    except OSError as error:
        raise TrisepError(" ".join(f"{error.filename}: {error.strerror}".split())) from error
