"""`trisep web`: a page in the browser that separates, plays and saves."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, UseAppendAction, arg

from trisep.commands import Device, require_between, require_positive


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Separate, hear and save on a page in the browser.

    For example:

        trisep web
        trisep web --port 9000 --model vast

    Open the address that it prints; it holds a key, so give it to nobody. Files stay on this computer, and are removed
    an hour after their last use or when the command ends.
    """

    host: Annotated[str, arg(metavar="ADDRESS")] = "127.0.0.1"
    """Address to listen at; 127.0.0.1 is reached from this computer alone."""
    port: int = 8347
    """Port to listen at; 0 takes a free one."""
    allow_host: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME")] = ()
    """A further name that the page may be asked for by, such as that of a proxy before it."""
    model: Annotated[str, arg(metavar="NAME|PATH")] = "default"
    """A model, by name (see: trisep models), checkpoint folder or hf:OWNER/NAME."""
    device: Device = "auto"
    """Device to compute on; auto takes a GPU if there is one."""
    demo: FlagCreatePairsOff[bool] = False
    """Serve the sample alone, to anybody: no key, no uploads."""
    sample: Annotated[Path | None, arg(metavar="FILE")] = None
    """The video that the page offers to try; the bundled one where there is one."""
    max_gigabytes: float = 4.0
    """Largest file."""
    max_minutes: float = 30.0
    """Longest file."""
    max_waiting: int = 32
    """Largest number of separations that wait."""

    def __post_init__(self) -> None:
        """Raise ConfigError for numbers out of range."""
        require_between(0, 65535, port=self.port)
        require_positive(max_gigabytes=self.max_gigabytes, max_minutes=self.max_minutes, max_waiting=self.max_waiting)
        require_between(0, 1e9, max_gigabytes=self.max_gigabytes, max_minutes=self.max_minutes)


def run(arguments: Arguments) -> int:
    """Serve the page until it is interrupted; returns 0."""
    from trisep.web.serve import serve
    from trisep.web.settings import WebSettings, bundled_sample

    settings = WebSettings(
        host=arguments.host,
        port=arguments.port,
        allowed_hosts=arguments.allow_host,
        model=arguments.model,
        device=arguments.device,
        demo=arguments.demo,
        max_upload_bytes=round(arguments.max_gigabytes * 1e9),
        max_seconds=arguments.max_minutes * 60,
        max_waiting=arguments.max_waiting,
        sample=arguments.sample or bundled_sample(),
    )
    serve(settings, on_ready=lambda address: print(f"trisep: open {address}   (end with Ctrl+C)"))
    return 0
