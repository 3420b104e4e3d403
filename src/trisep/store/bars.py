"""The progress bar of work over many files, frames or clips."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def counting_bar(unit: str, console: Console | None) -> Progress:
    """Return a bar that says how many of how many `unit` ("clips") are done and how long the rest takes.

    Without a console nothing is shown.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, disable=console is None)
