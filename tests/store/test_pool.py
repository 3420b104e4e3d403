"""Shards by several processes: the same store, and a file that crashes its process."""

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
from clip_folders import hashes, write_folder

import trisep.store.pool
from trisep.errors import StoreError
from trisep.store.ingest import ClipSettings
from trisep.store.layout import SHARDS, reading_path
from trisep.store.pool import run_jobs
from trisep.store.prepare import PrepareSettings, prepare
from trisep.store.shard_job import ShardJob, make_shard, read_part


def make_or_crash(job: ShardJob) -> None:
    """Ends its process like a decoder's crash at the file v001.mp4, unless that is left out."""
    if "v001.mp4" in job.sources and "v001.mp4" not in job.crashing:
        reading_path(job.store, job.name).write_text(json.dumps("v001.mp4"), encoding="utf-8")
        os._exit(11)
    make_shard(job)


def _job(folder: Path, store: Path, number: int, *sources: str) -> ShardJob:
    (store / SHARDS).mkdir(parents=True, exist_ok=True)
    settings = ClipSettings(short_side=32)
    return ShardJob(
        folder=folder,
        store=store,
        number=number,
        first_file=0,
        sources=sources,
        duplicates={},
        excluded=frozenset(),
        settings=settings,
    )


def _break_at_once(jobs: Sequence[ShardJob], *_: object) -> Iterator[ShardJob]:
    raise BrokenProcessPool
    yield jobs[0]


@pytest.mark.slow
def test_a_file_that_crashes_its_process_is_found_and_skipped(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [_job(videos, tmp_path, 0, "v001.mp4", "v002.mp4"), _job(videos, tmp_path, 1, "v004.mp4")]
    run_pool = trisep.store.pool._run_pool
    side_by_side = [_break_at_once]
    monkeypatch.setattr(
        trisep.store.pool,
        "_run_pool",
        lambda *arguments: (side_by_side.pop() if side_by_side else run_pool)(*arguments),
    )
    runs = run_jobs(jobs, num_workers=2, make=make_or_crash)
    assert next(runs).number == 0
    part = read_part(jobs[0])
    skipped, entries = part.skipped, part.entries
    assert [(item.source, item.reason) for item in skipped] == [("v001.mp4", "broken")]
    assert [entry.source for entry in entries] == ["v002.mp4"]


def test_a_process_that_dies_without_reading_a_file_is_an_error(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trisep.store.pool, "_run_pool", _break_at_once)
    jobs = [_job(videos, tmp_path, number, "v001.mp4") for number in range(2)]
    with pytest.raises(StoreError, match="shard-000000 died .*run the same command again"):
        next(run_jobs(jobs, num_workers=2))


@pytest.mark.slow
def test_several_processes_make_the_same_store_as_one(tmp_path: Path) -> None:
    videos = write_folder(tmp_path / "videos", 6)
    for num_workers in (1, 2):
        prepare(
            videos,
            tmp_path / str(num_workers),
            PrepareSettings(files_per_shard=2, short_side=32, num_workers=num_workers),
        )
    assert hashes(tmp_path / "1") == hashes(tmp_path / "2")
