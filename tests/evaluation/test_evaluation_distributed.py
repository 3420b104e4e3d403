"""One evaluation shared by several processes: who each is, how a list is shared out, and how it comes back."""

import os
import threading
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from clip_folders import tone
from clip_lists import write_list
from two_processes import in_two_processes

from trisep.evaluation import distributed
from trisep.evaluation.distributed import Ranks
from trisep.evaluation.run import evaluate
from trisep.media.audio_writer import write_audio

PROGRAM = """
from itertools import islice
from torch import distributed
from trisep.evaluation.distributed import Ranks
with Ranks() as ranks:
    first = ranks.from_main(2 + ranks.rank)
    items = [f"item {number}" for number in range(9)]
    print(ranks.is_main, list(ranks.in_order(islice(items, first + ranks.rank, None, ranks.count))))
print(distributed.is_initialized())
"""

EVALUATION = """
import sys
from trisep.cli import main
words = "evaluate --baseline mixture --limit 3 --workers 1 --data".split()
sys.exit(main([*words, sys.argv[1], "--out", sys.argv[2]]))
"""


def launched(monkeypatch: pytest.MonkeyPatch, **numbers: int) -> Ranks:
    """As torchrun would say it: process 3 of 4, the second of two on its machine, but for what `numbers` say."""
    said = {"RANK": 3, "WORLD_SIZE": 4, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 2} | numbers
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    for name, number in said.items():
        monkeypatch.setenv(name, str(number))
    return Ranks()


class Meeting:
    """Threads in the place of processes: what each hands in, all of them get."""

    def __init__(self, count: int) -> None:
        self.count, self.given = count, [None] * count
        self.here = threading.local()
        self.barrier = threading.Barrier(count, timeout=20)

    def all_gather_object(self, results: list[Any], own: Any) -> None:
        self.given[self.here.rank] = own
        self.barrier.wait()
        results[:] = self.given
        self.barrier.wait()

    def broadcast_object_list(self, told: list[Any]) -> None:
        results: list[Any] = [None] * self.count
        self.all_gather_object(results, told[0])
        told[0] = results[0]

    def by_rank(self, monkeypatch: pytest.MonkeyPatch, work: Callable[[Ranks], Any]) -> list[Any]:
        """What `work` returns in each of them."""
        monkeypatch.setattr(distributed, "distributed", self)
        monkeypatch.setattr(self, "is_torchelastic_launched", lambda: False, raising=False)
        found: list[Any] = [None] * self.count

        def run(rank: int) -> None:
            self.here.rank = rank
            ranks = Ranks()
            ranks.rank, ranks.count = rank, self.count
            found[rank] = work(ranks)

        threads = [threading.Thread(target=run, args=(rank,)) for rank in range(self.count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found


def test_a_process_alone_talks_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("RANK", "7")  # what somebody else left behind
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    with Ranks() as ranks:
        assert (ranks.rank, ranks.count, ranks.is_main) == (0, 1, True)
        assert ranks.num_processors == os.cpu_count() and ranks.from_main(5) == 5
        ranks.share_gpus()
        taken: list[int] = []
        results = ranks.in_order(taken.append(number) or number for number in range(3))
        assert next(results) == 0 and taken == [0]
        assert list(results) == [1, 2]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,7" and not distributed.distributed.is_initialized()


def test_what_torchrun_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    ranks = launched(monkeypatch)
    assert (ranks.rank, ranks.count, ranks.is_main, ranks.num_processors) == (3, 4, False, 3)
    assert launched(monkeypatch, RANK=0).is_main
    assert launched(monkeypatch, LOCAL_WORLD_SIZE=16).num_processors == 1
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert launched(monkeypatch).num_processors == 1


@pytest.mark.parametrize(
    ("visible", "installed", "local_rank", "expected"),
    [
        ("4,7", 8, 0, "4"),
        ("4,7", 8, 1, "7"),
        ("4,7", 8, 3, "7"),
        ("4", 8, 1, "4"),
        (None, 3, 1, "1"),
        (None, 0, 1, None),
        ("", 3, 1, "1"),
    ],
)
def test_each_process_of_a_machine_sees_a_gpu_of_its_own(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, installed: int, local_rank: int, expected: str | None
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr("torch.cuda.device_count", lambda: installed)
    launched(monkeypatch, LOCAL_RANK=local_rank, LOCAL_WORLD_SIZE=4).share_gpus()
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == expected


@pytest.mark.parametrize("num_items", range(8))
def test_the_main_process_gets_every_result_in_the_order_of_the_items(
    monkeypatch: pytest.MonkeyPatch, num_items: int
) -> None:
    def work(ranks: Ranks) -> list[str]:
        items = (f"item {number}" for number in range(num_items))
        return list(ranks.in_order(islice(items, ranks.rank, None, ranks.count)))

    assert Meeting(3).by_rank(monkeypatch, work) == [[f"item {number}" for number in range(num_items)], [], []]


def test_results_come_round_by_round(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(ranks: Ranks) -> int:
        taken: list[int] = []
        results = ranks.in_order(taken.append(number) or number for number in range(5))
        if ranks.is_main:
            assert [next(results), next(results)] == [0, 0] and taken == [0]
        return len(list(results)) + len(taken)

    assert Meeting(2).by_rank(monkeypatch, work) == [8 + 5, 0 + 5]


def test_all_are_told_what_the_main_process_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Meeting(3).by_rank(monkeypatch, lambda ranks: ranks.from_main(10 + ranks.rank)) == [10, 10, 10]


@pytest.mark.slow
def test_two_real_processes_share_a_list() -> None:
    everything = [f"item {number}" for number in range(2, 9)]
    assert [printed.splitlines() for printed in in_two_processes(PROGRAM)] == [
        [f"True {everything}", "False"],
        ["False []", "False"],
    ]


@pytest.mark.slow
def test_an_evaluation_by_two_processes_is_that_of_one(tmp_path: Path) -> None:
    labels = {"one": "dog", "two": "violin", "three": "rain"}
    for number, name in enumerate(labels):
        write_audio(tmp_path / f"{name}.wav", tone(0.5, frequency_hz=200.0 + 300 * number), subtype="wav_float32")
    write_list(tmp_path / "manifest.csv", [(f"{name}.wav", "dev", label) for name, label in labels.items()])
    alone = evaluate(data=tmp_path, baselines=("mixture",), limit=3, num_workers=1, out=tmp_path / "alone")
    assert alone is not None
    assert in_two_processes(EVALUATION, tmp_path, tmp_path / "both") == [f"{alone.text}\n", ""]
    alone_files, both_files = ({file.name: file for file in (tmp_path / name).iterdir()} for name in ("alone", "both"))
    assert sorted(alone_files) == sorted(both_files) and len(both_files) == 4
    for name in ("baselines.csv", "baselines.md", "pairs.csv"):
        assert both_files[name].read_bytes() == alone_files[name].read_bytes()
