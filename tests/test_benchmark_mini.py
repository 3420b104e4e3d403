"""`benchmarks/mini`: which runs it starts, what it makes of score tables, and when it says that an ordering appears."""

import csv
import importlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from clip_folders import tone
from clip_lists import write_list
from PIL import Image

import trisep.evaluation.run
from trisep.checkpoints.format import save_model
from trisep.errors import MediaError, TrainingError
from trisep.evaluation.journal import COLUMNS
from trisep.evaluation.mixtures import score_mixture
from trisep.media.audio_writer import write_audio
from trisep.models import labelsep
from trisep.types import SignalSettings


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module of the benchmark by its name."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks" / "mini"))

    def named(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield named


@pytest.fixture(scope="module")
def avmini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two held-out sounds of different labels."""
    folder = tmp_path_factory.mktemp("avmini")
    for label, frequency_hz in (("dog", 200.0), ("violin", 900.0)):
        write_audio(folder / f"{label}.wav", tone(0.5, frequency_hz=frequency_hz), subtype="wav_float32")
    write_list(folder / "manifest.csv", [(f"{label}.wav", "dev", label) for label in ("dog", "violin")])
    return folder


def write_table(path: Path, scores: list[tuple[int, int, float]], system: str = "model") -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for mixture, source, value in scores:
            numbers = dict.fromkeys(("sdri", "siri", "sar"), f"{value:.6f}")
            writer.writerow(
                dict.fromkeys(COLUMNS, "") | {"mixture": mixture, "source": source, "system": system} | numbers
            )
    return path


def finish(run: Any, step: int) -> None:
    run.model.mkdir(parents=True)
    (run.folder / "states" / f"step-{step:07d}").mkdir(parents=True)
    (run.folder / "recipe.json").write_text(json.dumps(asdict(run.arm.recipe)))
    needed = {"model": "clipsep", "config": {}, "signal": {}, "encoder": "lite", "encoder_fingerprint": "0"}
    (run.model / "config.json").write_text(json.dumps({"format": 1, "step": step, **needed}))


def test_runs_are_trained_seed_by_seed_until_the_budget_is_spent(
    benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = benchmark("runs")
    planned = runs.planned_runs(tmp_path, ["pit", "labelsep", "clipsep", "hfra"], 7, [1, 2])
    assert [(run.name, run.seed) for run in planned[:5]] == [
        ("clipsep", 1),
        ("labelsep", 1),
        ("pit", 1),
        ("hfra", 1),
        ("clipsep", 2),
    ]
    finish(planned[0], step=7)
    finish(planned[1], step=6)
    started = []
    monkeypatch.setattr(runs, "train", lambda recipe, settings: started.append((settings.out.name, settings.labels)))
    monkeypatch.delenv(runs.PLACE_VARIABLE, raising=False)
    labels = tmp_path / "manifest.csv"
    left_out = runs.train_all(
        planned, store=tmp_path, validation=tmp_path, labels=labels, is_spent=lambda: len(started) == 2
    )
    assert started == [("labelsep-1", labels), ("pit-1", None)]
    assert "EFFICIENTAT" in left_out["hfra, seed 1"]
    assert {name for name, reason in left_out.items() if "budget" in reason} == {
        f"{name}, seed 2" for name in ("clipsep", "labelsep", "pit")
    }


def test_a_folder_with_another_recipe_is_no_finished_run(benchmark: Any, tmp_path: Path) -> None:
    run, other = (benchmark("runs").planned_runs(tmp_path, ["clipsep"], steps, [1])[0] for steps in (7, 8))
    finish(run, step=7)
    assert run.is_finished()
    with pytest.raises(TrainingError, match="training"):
        other.is_finished()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sweep", ["clipsep", "mixing.source_gain_db", "5,-5", "--data", "d"]),
        ("fine_tuning", ["--start-store", "none", "--list", "l", "--media", "m"]),
    ],
)
def test_a_user_s_error_is_one_line(
    name: str,
    options: list[str],
    benchmark: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = ["--store", "none", "--validation", "none", "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", [name, *options, *places])
    # One process has one precision, and other tests of this process may have trained in another.
    assert benchmark(name).main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{name}: ")


def test_a_sweep_scores_what_was_trained_and_names_the_rest(
    benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = benchmark("sweep")
    monkeypatch.delenv(benchmark("runs").PLACE_VARIABLE, raising=False)
    places = [word for place in ("data", "store", "validation", "out") for word in (f"--{place}", str(tmp_path))]
    monkeypatch.setattr("sys.argv", ["sweep", "hfra", "loss.teacher_weight", "0.3", *places])
    assert sweep.main() == 1
    output = capsys.readouterr()
    assert (
        "hfra-teacher_weight-0.3, seed 1: left out, as its teacher" in output.err and len(output.out.splitlines()) == 2
    )


def test_time_of_a_run_counts_every_step_of_its_log(benchmark: Any, tmp_path: Path) -> None:
    runs = benchmark("runs")
    run = runs.planned_runs(tmp_path, ["clipsep"], 14, [1])[0]
    run.folder.mkdir()
    lines = [(10, 0.5, 0.1), (14, 1.0, 0.0)]
    entries = [{"step": step, "step_seconds": seconds, "data_seconds": waited} for step, seconds, waited in lines]
    (run.folder / "log.jsonl").write_text(
        "".join(json.dumps(entry) + "\n" for entry in [*entries, {"step": 14, "si_sdri": 1.0}])
    )
    assert run.seconds() == pytest.approx(10 * 0.6 + 4)
    assert runs.median_step_seconds([run]) == pytest.approx(0.75)


def test_scores_are_means_over_sources_then_seeds_of_what_is_finite(benchmark: Any, tmp_path: Path) -> None:
    one = write_table(tmp_path / "one.csv", [(0, 0, 1.0), (0, 1, 3.0), (1, 0, 5.0), (1, 1, float("inf")), (2, 0, 9.0)])
    two = write_table(tmp_path / "two.csv", [(0, 0, 4.0), (0, 1, 4.0), (1, 0, 7.0)])
    measured = benchmark("scores").measure({1: one, 2: two})
    assert measured.per_mixture["sdri"] == {0: 3.0, 1: 6.0}
    assert measured.seed_means == {1: pytest.approx((2 + 5 + 9) / 3), 2: 5.5}
    assert measured.interval("sdri").mean == measured.mean("sdri") == 4.5


@pytest.mark.parametrize(
    ("gain", "verdict"), [(2.0, "appears"), (-2.0, "does not appear"), (0.0, "cannot be told"), (None, "not run")]
)
def test_an_ordering_appears_only_with_its_sign_and_a_small_p(
    benchmark: Any, tmp_path: Path, gain: float | None, verdict: str
) -> None:
    scores, rows, orderings = benchmark("scores"), benchmark("rows"), benchmark("orderings")

    def row(name: str, offset: float, spread: float) -> Any:
        table = write_table(
            tmp_path / f"{name}.csv", [(index, 0, offset + spread * (-1) ** index) for index in range(20)]
        )
        return rows.Row(name=name, query="text", asked="text", results={"avmini": scores.measure({1: table})})

    made = [row("clipsep", 0.0, 0.0)] + ([] if gain is None else [row("clipsep-nit", gain, 0.5)])
    finding = orderings.judge(orderings.ORDERINGS[0], "avmini", made)
    assert finding.verdict == verdict
    assert finding.test is None if gain is None else finding.test.mean_difference == pytest.approx(gain)


def test_an_evaluation_is_made_once_and_again_for_other_settings(
    benchmark: Any, avmini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, made = benchmark("scores"), []

    def evaluate(*words: Any, **settings: Any) -> Any:
        made.append(settings["limit"])
        return trisep.evaluation.run.evaluate(*words, **settings)

    monkeypatch.setattr(scores, "evaluate", evaluate)
    # In this process, not in others.
    monkeypatch.setattr(
        trisep.evaluation.run,
        "score_all",
        lambda job, mixtures, num_workers: (score_mixture(job, one, None) for one in mixtures),
    )
    for limit in (1, 1, 2):
        settings = scores.ScoringSettings(data=avmini, limit=limit, workers=1)
        table = scores.score(settings, "avmini", tmp_path / "scores", baselines=("mixture",))
        assert table == tmp_path / "scores" / "baselines.csv"
        assert len(scores.measure({0: table}).per_mixture["sdri"]) == limit
    assert made == [1, 2]
    assert scores.hours_of_scoring(tmp_path) == 0


def test_a_mixture_is_drawn_with_the_masks_of_each_model(benchmark: Any, avmini: Path, tmp_path: Path) -> None:
    card = {
        "signal": asdict(SignalSettings()),
        "encoder": "none",
        "encoder_fingerprint": "",
        "labels": ["dog", "violin"],
    }
    for name in ("one", "two"):
        save_model(tmp_path / name, labelsep.Config.tiny().build(), model_name="labelsep", card=card)
    picture = tmp_path / "mixture.png"
    models = {name: tmp_path / name for name in ("one", "two")}
    title = benchmark("pictures").draw_mixture(models, avmini, 0, picture)
    assert title in ("dog in dog + violin", "violin in violin + dog")
    with Image.open(picture) as drawn:
        assert drawn.width > drawn.height


def test_all_systems_of_the_papers_are_arms_and_differ_by_their_recipes(benchmark: Any) -> None:
    table = benchmark("arms").arms(60, 1, batch_size=4, precision="fp32")
    told = {(type(arm.recipe.model).__module__, str(arm.recipe)) for arm in table.values()}
    assert len(told) == len(table) == 29
    assert {arm.recipe.training.batch_size for arm in table.values()} == {4}
    assert {arm.recipe.training.precision for arm in table.values()} == {"fp32"}
    asked = {name: arm.queries for name, arm in table.items()}
    assert asked["co-separation"] == asked["avsgs"] == ("boxes",) and asked["kilgour"] == ("sound", "text")
    plain, signed = (table[name].recipe.model for name in ("vast-plain-tile", "vast-masks"))
    assert (plain.tiling, signed.tiling) == ("plain", "signed") and plain == replace(signed, tiling="plain")
    # The sizes of the first eleven arms are those of the page that is there.
    assert benchmark("arms").arms(300, 1)["clipsep"].recipe.training.batch_size == 16


def test_a_row_that_is_asked_otherwise_is_compared_with_the_reference_asked_with_pictures(
    benchmark: Any, tmp_path: Path
) -> None:
    scores, rows, tables = benchmark("scores"), benchmark("rows"), benchmark("tables")
    measured = scores.measure({1: write_table(tmp_path / "one.csv", [(0, 0, 1.0)])})
    better = scores.measure({1: write_table(tmp_path / "two.csv", [(0, 0, 3.0)])})
    both = dict.fromkeys(scores.PROTOCOLS, measured)
    made = [
        rows.Row(name="clipsep", query="image", asked="image", results=both),
        rows.Row(name="avsgs", query="boxes", asked="boxes", results=dict.fromkeys(scores.PROTOCOLS, better)),
        rows.Row(name="mixture", query="", asked="nothing", results=both),
    ]
    lines = tables.results_table(made).splitlines()[2:]
    assert ["+2.00" in line for line in lines] == [False, True, False]


def test_the_table_of_a_sweep_of_gamma_is_read(benchmark: Any, tmp_path: Path) -> None:
    text = (
        "| γ | dev, text: SDRi | dev, image | mask loss | noise activation, text · image |\n|---|---|---|---|---|\n"
        "| 0 | 2.12 [1.40, 2.89] | -0.50 [−1.41, 0.25] | 0.2 | 0.075 · 0.073 |\n"
        "| none | 2.29 [1.49, 3.10] | 2.26 [1.48, 3.04] | 0.3 | noise_activation 0.454 (text), 0.450 (image) |\n\n"
    )
    noise_level = benchmark("noise_level")
    scores, activations = noise_level.read_levels(text, "page")
    assert scores == {
        "dev, text": {"0": (2.12, 1.40, 2.89), "none": (2.29, 1.49, 3.10)},
        "dev, image": {"0": (-0.5, -1.41, 0.25), "none": (2.26, 1.48, 3.04)},
    }
    assert activations == {"text": {"0": 0.075, "none": 0.454}, "image": {"0": 0.073, "none": 0.45}}
    (tmp_path / "page.md").write_text(text)
    assert noise_level.draw(tmp_path / "page.md", tmp_path / "level.png") == 0
    with pytest.raises(MediaError, match="holds no table whose first column is γ"):
        noise_level.read_levels("| a |\n|---|\n", "page")


def test_curves_over_steps_have_a_column_for_each_arm(benchmark: Any, tmp_path: Path) -> None:
    points = [(10, 0.3), (20, 0.2)]
    curve = [(step, (value, value - 0.1, value + 0.1)) for step, value in points]
    arms = ("clipsep", "clipsep-nit")
    both = {"text": points, "image": points}
    benchmark("curves").draw_over_steps(
        dict.fromkeys(arms, points),
        dict.fromkeys(arms, both),
        dict.fromkeys(arms, {"text": curve, "image": curve}),
        tmp_path / "steps.png",
    )
    with Image.open(tmp_path / "steps.png") as picture:
        assert picture.size == (846, 576)
