"""The list of mixtures of an evaluation: read as often as wanted, and counted before anything is scored."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from trisep.errors import MediaError
from trisep.protocols import Protocol, ProtocolMixture
from trisep.protocols.clip_lists import list_folder
from trisep.protocols.pair_files import read_pairs, write_pairs

Pairs = Callable[[], Iterator[ProtocolMixture]]
"""A list of mixtures, which is walked from its start by each call."""
PAIRS = "pairs.csv"
"""Its name beside the scores."""


def pair_list(
    protocol: Protocol,
    data: Path,
    *,
    media: Path | None = None,
    pairs: Path | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> Pairs:
    """Return the list of mixtures, which can be read any number of times: from `pairs`, or as the protocol draws it."""
    home = list_folder(data)
    folder = media or home

    def moved(path: Path) -> Path:
        """Return the path under the folder that the media are in."""
        return folder / path.relative_to(home) if path.is_relative_to(home) else path

    def walk() -> Iterator[ProtocolMixture]:
        """Yield the mixtures, one at a time."""
        drawn = read_pairs(pairs, folder=home) if pairs else protocol.pairs(data, seed)
        for mixture in islice(drawn, limit):
            if folder == home:
                yield mixture
                continue
            sources = [
                replace(one, path=moved(one.path), picture=one.picture and moved(one.picture))
                for one in mixture.sources
            ]
            yield replace(
                mixture, sources=tuple(sources), interference=mixture.interference and moved(mixture.interference)
            )

    return walk


def survey(pairs: Pairs, file: Path, *, folder: Path, skip_missing: bool) -> int:
    """Write the list to a file and count its mixtures.

    Raises MediaError when the list is empty, or when it names clips that do not exist and are not to be skipped, or so
    many that no mixture is left.
    """
    known: dict[Path, bool] = {}
    num_mixtures, num_lacking = 0, 0
    for mixture in write_pairs(pairs(), file, folder=folder):
        num_mixtures += 1
        paths = [path for one in mixture.sources for path in (one.path, one.picture) if path]
        paths += [mixture.interference] if mixture.interference else []
        for path in paths:
            known.setdefault(path, path.is_file())
        num_lacking += not all(known[path] for path in paths)
    absent = [path for path, exists in known.items() if not exists]
    if absent and (not skip_missing or num_lacking == num_mixtures):
        skip = "" if num_lacking == num_mixtures else ", or count and skip those mixtures with --skip-missing"
        raise MediaError(
            f"{absent[0]}: no such file; {len(absent)} of {len(known)} clips are absent, in {num_lacking} of "
            f"{num_mixtures} mixtures: get them{skip}"
        )
    if num_mixtures == 0:
        raise MediaError(f"{file}: the pair list is empty; give one with at least one mixture")
    return num_mixtures
