"""Compare trisep's BSS Eval with mir_eval 0.8.2 on random cases, for agreement in dB and for time, and print one table.

    OMP_NUM_THREADS=1 python benchmarks/bss_eval.py --cases 50

Cases: 1 to 3 sources of 1 to 8 s at 16 kHz, in turn noise, correlated sources, harmonic tones, sources up to 100 dB apart, and all of
this at once; estimates with filtering, leakage and noise of random levels. "+mix" is what an improvement costs: estimates and mixture
against the same references, which are factorised once here. Set OMP_NUM_THREADS=1 for times per core. "mir_eval itself" is the largest
difference of mir_eval from mir_eval when the references are multiplied by 0.37, which changes nothing but rounding: no other program can
agree with it more closely than that.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import mir_eval
import numpy as np
from scipy import signal

from trisep.metrics import BssReference, bss_eval_sources

SAMPLE_RATE_HZ = 16000
KINDS = ("noise", "correlated", "tonal", "unequal", "all at once")


@dataclass
class Row:
    """What one kind of case adds up to."""

    num_cases: int = 0
    num_infinite: int = 0
    num_beyond: int = 0
    largest_self_difference_db: float = 0.0
    largest_difference_db: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("sdr", "sir", "sar"), 0.0))
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("ours", "mir_eval", "ours+mix", "mir_eval+mix"), 0.0))

    def add(self, other: "Row") -> None:
        """Add the cases of another row to this one."""
        self.num_cases += other.num_cases
        self.num_infinite += other.num_infinite
        self.num_beyond += other.num_beyond
        self.largest_self_difference_db = max(self.largest_self_difference_db, other.largest_self_difference_db)
        for key, value in other.largest_difference_db.items():
            self.largest_difference_db[key] = max(value, self.largest_difference_db[key])
        self.seconds = {key: value + other.seconds[key] for key, value in self.seconds.items()}


def draw_case(kind: str, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    num_sources = int(generator.integers(1, 4))
    num_samples = int(generator.uniform(1.0, 8.0) * SAMPLE_RATE_HZ)
    sources = generator.standard_normal((num_sources, num_samples))
    if kind in ("tonal", "all at once"):
        seconds = np.arange(num_samples) / SAMPLE_RATE_HZ
        for source in sources:
            pitch_hz, decay = generator.uniform(80.0, 900.0), generator.uniform(0.0, 2.0)
            partials = [np.sin(2 * np.pi * h * pitch_hz * seconds + generator.uniform(0.0, 6.0)) / h for h in range(1, 9)]
            source[:] = np.exp(-decay * seconds) * np.sum(partials, axis=0)
    if kind in ("correlated", "all at once"):
        sources += generator.uniform(0.5, 5.0) * generator.standard_normal(num_samples)
    if kind in ("unequal", "all at once"):
        sources *= 10.0 ** -generator.uniform(0.0, 5.0, (num_sources, 1))
    levels = np.sqrt(np.mean(sources**2, axis=1, keepdims=True))
    filtered = signal.lfilter(generator.standard_normal(40) * np.exp(-np.arange(40) / 4.0), [1.0], sources)
    leakage = 10.0 ** -generator.uniform(0.0, 2.0) * sources.sum(axis=0)
    noise = 10.0 ** -generator.uniform(0.0, 3.0) * levels * generator.standard_normal(sources.shape)
    return sources, filtered + leakage + noise


def seconds_of(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def ours_with_mixture(sources: np.ndarray, estimates: np.ndarray, mixture: np.ndarray) -> None:
    truth = BssReference(sources)
    truth.score(estimates)
    truth.score_mixture(mixture)


def mir_eval_with_mixture(sources: np.ndarray, estimates: np.ndarray, mixture: np.ndarray) -> None:
    for candidate in (estimates, np.broadcast_to(mixture, sources.shape)):
        mir_eval.separation.bss_eval_sources(sources, candidate, compute_permutation=False)


def differences_db(mine: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, int]:
    """Absolute differences, and how many entries were not compared since both are ratios without error (mir_eval: rounding noise)."""
    both_without_error = (mine > 200.0) & (theirs > 200.0)
    return np.abs(np.where(both_without_error, 0.0, mine) - np.where(both_without_error, 0.0, theirs)), int(both_without_error.sum())


def run_case(row: Row, sources: np.ndarray, estimates: np.ndarray) -> None:
    mixture = sources.sum(axis=0) + 0.01 * np.roll(estimates[0], 7000)
    ours = bss_eval_sources(reference=sources, estimate=estimates)
    oracle = np.stack(mir_eval.separation.bss_eval_sources(sources, estimates, compute_permutation=False)[:3])
    rescaled = np.stack(mir_eval.separation.bss_eval_sources(0.37 * sources, estimates, compute_permutation=False)[:3])
    difference, num_infinite = differences_db(np.stack([ours.sdr, ours.sir, ours.sar]), oracle)
    for name, largest in zip(row.largest_difference_db, difference.max(axis=1), strict=True):
        row.largest_difference_db[name] = max(row.largest_difference_db[name], float(largest))
    row.num_infinite += num_infinite
    row.num_beyond += int(difference.max() > 1e-6)
    row.largest_self_difference_db = max(row.largest_self_difference_db, float(differences_db(rescaled, oracle)[0].max()))
    row.num_cases += 1
    row.seconds["ours"] += seconds_of(lambda: bss_eval_sources(reference=sources, estimate=estimates))
    row.seconds["mir_eval"] += seconds_of(lambda: mir_eval.separation.bss_eval_sources(sources, estimates, compute_permutation=False))
    row.seconds["ours+mix"] += seconds_of(lambda: ours_with_mixture(sources, estimates, mixture))
    row.seconds["mir_eval+mix"] += seconds_of(lambda: mir_eval_with_mixture(sources, estimates, mixture))


def print_row(name: str, row: Row) -> None:
    differences = " ".join(f"{value:>9.1e}" for value in row.largest_difference_db.values())
    mean_ms = {key: 1e3 * value / row.num_cases for key, value in row.seconds.items()}
    single = f"{mean_ms['ours']:>8.1f} {mean_ms['mir_eval']:>9.1f} {mean_ms['mir_eval'] / mean_ms['ours']:>6.1f}x"
    with_mixture = f"{mean_ms['ours+mix']:>9.1f} {mean_ms['mir_eval+mix']:>13.1f} {mean_ms['mir_eval+mix'] / mean_ms['ours+mix']:>6.1f}x"
    agreement = f"{differences} {row.num_beyond:>5} {row.largest_self_difference_db:>8.1e} {row.num_infinite:>4}"
    print(f"{name:<12} {row.num_cases:>5} {agreement} {single} {with_mixture}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=50, help="number of random cases (default 50)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message="mir_eval.separation", category=FutureWarning)
    generator = np.random.default_rng(arguments.seed)
    rows = {kind: Row() for kind in KINDS}
    for index in range(arguments.cases):
        kind = KINDS[index % len(KINDS)]
        run_case(rows[kind], *draw_case(kind, generator))
    total = Row()
    for row in rows.values():
        total.add(row)
    print("largest |ours - mir_eval| in dB; cases beyond 1e-6 dB; mir_eval itself; ratios without error on both sides, not compared;")
    print("mean time per case in ms")
    times = f"{'ours':>8} {'mir_eval':>9} {'faster':>7} {'ours+mix':>9} {'mir_eval+mix':>13} {'faster':>7}"
    print(f"{'kind':<12} {'cases':>5} {'sdr':>9} {'sir':>9} {'sar':>9} {'>1e-6':>5} {'itself':>8} {'inf':>4} {times}")
    for name, row in [*rows.items(), ("total", total)]:
        if row.num_cases:
            print_row(name, row)


if __name__ == "__main__":
    main()
