"""Work on a cluster: in order, with its errors, and with the same bytes as here."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from clip_folders import MeanColour, hashes, write_folder

import trisep.store.embed
from trisep.commands.embed import Arguments as EmbedArguments
from trisep.commands.prepare import Arguments as PrepareArguments
from trisep.errors import ConfigError, MissingExtraError, StoreError
from trisep.store.cluster import run_on_cluster
from trisep.store.embed import embed
from trisep.store.prepare import PrepareSettings, prepare


class FakeRay(ModuleType):
    """As much of Ray as is used: tasks end in the wrong order, and come back in theirs only if that was asked for."""

    def __init__(self) -> None:
        super().__init__("ray")
        self.calls: list[tuple[str, Any]] = []
        self.started = False
        self.reachable = True
        options = SimpleNamespace(preserve_order=False)
        context = SimpleNamespace(execution_options=options, enable_progress_bars=True)

        def from_items(rows: list[Any], override_num_blocks: int) -> Any:
            self.calls.append(("blocks", override_num_blocks))

            def iter_rows(task: Callable[[Any], Any]) -> Iterator[Any]:
                done = [(place, task(row)) for place, row in reversed(list(enumerate(rows)))]
                yield from (
                    row for _, row in (sorted(done, key=lambda one: one[0]) if options.preserve_order else done)
                )

            return SimpleNamespace(map=lambda task: SimpleNamespace(iter_rows=lambda: iter_rows(task)))

        self.data = ModuleType("ray.data")
        self.data.__dict__.update(from_items=from_items, DataContext=SimpleNamespace(get_current=lambda: context))

    def is_initialized(self) -> bool:
        return self.started

    def init(self, **settings: Any) -> None:
        if not self.reachable:
            raise ConnectionError("nobody answers")
        self.calls.append(("init", settings))

    def shutdown(self) -> None:
        self.calls.append(("shutdown", None))


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.setitem(sys.modules, "ray.data", fake.data)
    return fake


def test_every_item_is_one_task_and_comes_back_in_order(ray: FakeRay) -> None:
    done: list[str] = []
    assert list(run_on_cluster(["a", "b", "c"], done.append, address="local", num_workers=2)) == ["a", "b", "c"]
    assert done == ["c", "b", "a"]
    (_, settings), blocks, last = ray.calls
    assert (settings["address"], settings["num_cpus"]) == ("local", 2)
    assert blocks == ("blocks", 3) and last == ("shutdown", None)


def test_a_cluster_that_is_there_is_not_told_its_size_and_one_that_the_caller_reached_stays_open(ray: FakeRay) -> None:
    list(run_on_cluster(["a"], print, address="10.0.0.1:6379"))
    assert ray.calls[0][0] == "init" and "num_cpus" not in ray.calls[0][1]
    ray.started, ray.calls = True, []
    list(run_on_cluster(["a"], print, address="auto"))
    assert ray.calls == [("blocks", 1)]


def test_a_ray_of_our_own_is_given_time_to_start(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RAY_worker_niceness", "7")
    list(run_on_cluster(["a"], print, address="auto"))
    assert "RAY_raylet_start_wait_time_s" not in os.environ, "a cluster has settings of its own"
    list(run_on_cluster(["a"], print, address="local"))
    patience = {name: value for name, value in os.environ.items() if name.startswith("RAY_") and "600" in value}
    assert len(patience) == 5 and os.environ["RAY_worker_niceness"] == "7"
    for name in patience:
        monkeypatch.delenv(name)


def test_the_works_own_error_is_raised_here_and_the_connection_closed(ray: FakeRay) -> None:
    def work(item: str) -> None:
        if item == "b":
            raise StoreError("b: is broken")

    done = []
    with pytest.raises(StoreError, match="^b: is broken$"):
        for item in run_on_cluster(["a", "b", "c"], work, address="local"):
            done.append(item)
    assert done == ["a"] and ray.calls[-1] == ("shutdown", None)


def test_without_ray_or_a_cluster_the_remedy_is_named(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    ray.reachable = False
    with pytest.raises(
        ConfigError,
        match=r"--cluster auto: no Ray cluster is reached there \(nobody answers\); start one with `ray start",
    ):
        list(run_on_cluster(["a"], print, address="auto"))
    with pytest.raises(
        ConfigError,
        match=r"^--cluster local: Ray does not start on this machine \(nobody answers\); .* leave --cluster out",
    ):
        list(run_on_cluster(["a"], print, address="local"))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"^--cluster needs ray, .*pip install 'trisep\[cluster\]'"):
        list(run_on_cluster(["a"], print, address="local"))
    assert list(run_on_cluster([], print, address="local")) == []


@pytest.mark.slow
def test_a_cluster_makes_the_same_store(ray: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trisep.store.embed, "load_encoder", lambda name: MeanColour())
    videos = write_folder(tmp_path / "videos", 3)
    for cluster in (None, "local"):
        store = tmp_path / str(cluster)
        prepare(videos, store, PrepareSettings(files_per_shard=2, short_side=32, num_workers=1, cluster=cluster))
        embed(store, "lite", cluster=cluster, num_workers=3)
    assert [value for name, value in ray.calls if name == "blocks"] == [2, 2]
    assert [value["num_cpus"] for name, value in ray.calls if name == "init"] == [1, 3]
    assert hashes(tmp_path / "local") == hashes(tmp_path / "None")


def test_a_cluster_elsewhere_is_not_told_how_many_processes(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="--workers counts processes of this machine, and the cluster auto has its own number"
    ):
        PrepareArguments(folder=tmp_path, out=tmp_path, workers=2, cluster="auto")
    assert PrepareArguments(folder=tmp_path, out=tmp_path, workers=2, cluster="local").cluster == "local"


def test_embed_counts_the_processes_of_a_local_cluster_alone(tmp_path: Path) -> None:
    for cluster in (None, "auto", "10.0.0.1:6379"):
        with pytest.raises(ConfigError, match="--workers counts the processes of --cluster local; leave it out"):
            EmbedArguments(store=tmp_path, workers=2, cluster=cluster)
    with pytest.raises(ConfigError, match="workers"):
        EmbedArguments(store=tmp_path, workers=0, cluster="local")
    assert EmbedArguments(store=tmp_path, workers=2, cluster="local").workers == 2


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray[data]: pip install 'trisep[cluster]'")
def test_two_processes_of_ray_make_the_store_that_the_pool_makes(tmp_path: Path) -> None:
    videos = write_folder(tmp_path / "videos", 4)
    (videos / "letter.mp4").write_text("not a video")
    prepare(videos, tmp_path / "pool", PrepareSettings(files_per_shard=2, short_side=32, num_workers=2))
    # Apart, since Ray starts threads and gives warnings that are not ours.
    program = (
        "import sys; from trisep.store.prepare import *; from pathlib import Path; a, b = map(Path, sys.argv[1:])\n"
    )
    program += "prepare(a, b, PrepareSettings(files_per_shard=2, short_side=32, num_workers=2, cluster='local'))"
    paths = os.pathsep.join(str(Path(path).absolute()) for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", program, videos, tmp_path / "ray"], check=True, env=environment)
    assert hashes(tmp_path / "ray") == hashes(tmp_path / "pool")
