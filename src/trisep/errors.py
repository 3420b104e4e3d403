"""The errors that a user can cause, and how names stand in messages.

Each message names the argument or file, the expected and the actual value, and a remedy.

    TrisepError                 any error that the command line turns into exit code 2 and one line
    ├── MediaError              a file cannot be read, decoded or written
    ├── QueryError              a query is empty, unreadable or does not fit the input
    ├── CheckpointError         a model, encoder or pretrained file is missing, altered or does not fit
    ├── StoreError              a clip store is missing, damaged or lacks data that a command needs
    ├── ConfigError             a setting is unknown, of the wrong type or out of range
    ├── TrainingError           a run cannot continue (not-a-number loss, data that do not fit the recipe)
    └── MissingExtraError       a package is missing that an extra of the installation brings

Programming mistakes raise the usual built-in exceptions instead.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
EXTRAS = {
    "figures": ("matplotlib",),
    "train": ("accelerate", "pyarrow", "tensorboard"),
    "analysis": ("sklearn",),
    "web": ("starlette", "uvicorn"),
    "hub": ("huggingface_hub",),
    "teachers": ("transformers",),
    "cluster": ("ray",),
    "remote": ("fsspec", "webdataset"),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
}
"""The extras of an installation, and the modules by which each is known."""


def shown(text: str) -> str:
    """Return a name or a message as a terminal can show it on one line: control characters, and those that change the
    direction of writing, become escapes as in JSON.
    """
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class TrisepError(Exception):
    """Base of every error that the user can correct; the command line prints its message and exits with 2."""


class MediaError(TrisepError):
    """A media file or an output place cannot be used."""


class QueryError(TrisepError):
    """A query is empty, unreadable or does not fit the input."""


class CheckpointError(TrisepError):
    """A model, encoder or pretrained file is missing, altered or does not fit."""


class StoreError(TrisepError):
    """A clip store is missing, damaged or lacks data that a command needs."""


class ConfigError(TrisepError):
    """A setting is unknown, of the wrong type or out of range."""


class TrainingError(TrisepError):
    """A training run cannot continue."""


class MissingExtraError(TrisepError):
    """A package is missing that an extra of the installation brings."""


@contextmanager
def needs_extra(what: str, extra: str = "") -> Iterator[None]:
    """Import in the body what an extra brings: where it is not installed, MissingExtraError says what to do.

    Args:
        what: needs it, in words: the subject of the error's sentence.
        extra: the extra that `what` needs as a whole; without it, the one that brings the missing module.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        found = next((name for name, modules in EXTRAS.items() if error.name in modules), "")
        if not found:
            raise
        raise MissingExtraError(
            f"{what} needs {error.name}, which is not installed; run: pip install 'trisep[{extra or found}]'"
        ) from error
