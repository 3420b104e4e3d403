"""Mutants of what the papers print: each changes one place of the code, and a test must notice.

    python benchmarks/mutations.py [--only WORD]

A mutant is applied to a copy of the package, and the tests named beside it run on that copy. The table says which were
killed; the exit code is 1 if one survived.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = "tests/recipes/test_paper_numbers.py"


@dataclass(frozen=True)
class Mutant:
    """One change: `old`, which stands once in `file`, becomes `new`."""

    name: str
    file: str
    old: str
    new: str
    tests: str = PAGE


_NIT, _ALIGNMENT, _LOOP = "losses/noise_invariant.py", "losses/alignment.py", "training/loop.py"
_CLIPSEP, _VAST, _HFRA = "recipes/clipsep.py", "recipes/vast.py", "recipes/hfra.py"
MUTANTS = (
    Mutant(
        "NIT: regulariser × 0",
        _NIT,
        "self.regularization * noise_regularizer",
        "0.0 * noise_regularizer",
        "tests/losses/test_noise_invariant.py",
    ),
    Mutant("NIT: λ 1", _NIT, "PAPER_WEIGHT = 0.1", "PAPER_WEIGHT = 1.0"),
    Mutant("NIT: γ 0.5", _NIT, "PAPER_LEVEL = 0.25", "PAPER_LEVEL = 0.5"),
    Mutant(
        "masks detached before the audio embedding",
        _ALIGNMENT,
        "predicted = (masks * magnitude",
        "predicted = (masks.detach() * magnitude",
        "tests/losses/test_alignment.py",
    ),
    Mutant(
        "no gradient clipping",
        _LOOP,
        "recipe.optimizer.gradient_clip)",
        "float('inf'))",
        "tests/training/test_loop.py -k clipped",
    ),
    Mutant(
        "-Text and -Hybrid chosen by words",
        _LOOP,
        'if recipe.query in ("text", "hybrid", "mixed") and sees else',
        "if False else",
        "tests/training/test_loop.py -k chosen",
    ),
    Mutant(
        "RPCA: λ with √min", "baselines/rpca.py", "max(M.shape) **", "min(M.shape) **", "tests/baselines/test_rpca.py"
    ),
    Mutant("τ 0.1", _ALIGNMENT, 'temperature: float = 0.01\n    """τ', 'temperature: float = 0.1\n    """τ'),
    Mutant("a template", "encoders/__init__.py", "a photo of the small {}", "a photo of a small {}"),
    Mutant("-Text through four templates", _CLIPSEP, "templates=TRAINING_TEMPLATES, claims", "claims"),
    Mutant(
        "templates averaged at unit length",
        "encoders/__init__.py",
        ".mean(dim=0)\n",
        ".mean(dim=0)\n    query = query / query.norm()\n",
        "tests/encoders/test_encoders.py",
    ),
    Mutant("VAST: learning rate", _VAST, "learning_rate=4e-3", "learning_rate=4e-2"),
    Mutant("VAST: window", _VAST, "window_samples=1022", "window_samples=1024"),
    Mutant("VAST: frame spacing", _VAST, "frame_spacing_seconds=3.0", "frame_spacing_seconds=1.0"),
    Mutant("VAST: λ₂", _ALIGNMENT, "tri_modal_weight: float = 1e-2", "tri_modal_weight: float = 1e-3"),
    Mutant("CLIPSep: end of the decay", _CLIPSEP, "decay_steps=100_000", "decay_steps=200_000"),
    Mutant("AV-Mix at region level", _VAST, ', level="video"', ""),
    Mutant("protocol vast: spacing", "protocols/vast.py", "frame_spacing_seconds=3.0", "frame_spacing_seconds=1.0"),
    Mutant("protocol vast: template", "protocols/vast.py", '("person playing a {}",)', '("a photo of {}",)'),
    Mutant("protocol sop: soft masks", "protocols/sop.py", "binary_masks=True", "binary_masks=False"),
    Mutant("protocol hfra: frames", "protocols/hfra.py", "num_frames=1", "num_frames=3"),
    Mutant("HFRA: frames", _HFRA, "num_sources=2, num_frames=1", "num_sources=2, num_frames=3"),
    Mutant("HFRA: decay", _HFRA, "decay_steps=90_000", "decay_steps=60_000"),
    Mutant("HFRA: λ", _ALIGNMENT, "teacher_weight: float = 1.0", "teacher_weight: float = 0.1"),
    Mutant(
        "frames of a picture query off centre",
        "evaluation/queries.py",
        "number - protocol.num_frames // 2 for",
        "number for",
        "tests/evaluation/test_evaluation_queries.py",
    ),
    Mutant(
        "SOP+CLIP: mean for maximum",
        "models/clipsep.py",
        "query.regions.amax(dim=(2, 3, 4))",
        "query.regions.mean(dim=(2, 3, 4))",
        "tests/models/test_clipsep.py",
    ),
    Mutant(
        "NMF: number of components", "baselines/nmf_mfcc.py", "num_components: int = 25", "num_components: int = 10"
    ),
    Mutant(
        "training hears another level than evaluation",
        "training/data.py",
        "level_db + choice.mixture_gain_db",
        "level_db - 10 + choice.mixture_gain_db",
        "tests/training/test_training_data.py -k one_level",
    ),
)


def survives(mutant: Mutant) -> bool:
    """Run the mutant's tests on a mutated copy; whether all of them still pass."""
    with tempfile.TemporaryDirectory() as temporary:
        package = Path(temporary) / "trisep"
        weights = package / "pretrained"
        shutil.copytree(ROOT / "src" / "trisep", package, ignore=lambda folder, _: ["model.safetensors", "__pycache__"])
        for model in (ROOT / "src" / "trisep" / "pretrained").glob("*/model.safetensors"):
            (weights / model.parent.name / model.name).symlink_to(model)
        text = (package / mutant.file).read_text(encoding="utf-8")
        if text.count(mutant.old) != 1:
            sys.exit(f"{mutant.name}: {mutant.old!r} stands {text.count(mutant.old)} times in {mutant.file}")
        (package / mutant.file).write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        line = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutant.tests.split()]
        environment = {**os.environ, "PYTHONPATH": temporary}
        return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, check=False).returncode == 0


def main() -> int:
    """Print one line for each mutant, and the score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="run the mutants whose name holds this word")
    chosen = [mutant for mutant in MUTANTS if parser.parse_args().only in mutant.name]
    print("| mutant | file | |\n|---|---|---|")
    survivors = 0
    for mutant in chosen:
        survived = survives(mutant)
        survivors += survived
        print(f"| {mutant.name} | {mutant.file} | {'**survived**' if survived else 'killed'} |", flush=True)
    print(f"\n{len(chosen) - survivors} of {len(chosen)} killed")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
