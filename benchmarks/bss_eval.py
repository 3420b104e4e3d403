"""Compare trisep's metrics with mir_eval 0.8.2, museval 0.4 and a formula written out here, on random cases: agreement
in dB and time.

    OMP_NUM_THREADS=1 python benchmarks/bss_eval.py --cases 100

Cases: 1 to 3 sources of 1 to 8 s at 16 kHz, in turn noise, correlated sources, harmonic tones, sources up to 100 dB
apart, and all of this at once; estimates with filtering, leakage and noise of random levels. Compared are

- `sdr`, `sir`, `sar` with `mir_eval.separation.bss_eval_sources` and with museval in its mode of BSS Eval v3: all
  without permutation
- the same with fast_bss_eval, where it is installed
- `snr` with the "SDR" of `museval.metrics.bss_eval` as it is called by default: in windows of 88 200 samples every
  66 150, of which our `snr` is taken one by one (a signal that fits into one window has one); and in one window over
  the whole
- `si_sdr` with ρ² / (1 − ρ²), where ρ is the cosine between reference and estimate

Times are processor seconds of this process; OMP_NUM_THREADS=1 makes them those of one core. "+ mixture" is what an
improvement costs: estimates and mixture against the same references, which are factorised once here; "two systems +
mixture" is what one mixture of an evaluation costs. Where both sides exceed 200 dB there is no error but rounding, and
nothing is compared. Cases beyond 1e-6 dB are listed with the largest difference of mir_eval from mir_eval when the
references are multiplied by 0.37, which changes nothing but rounding: no other program can agree with it more closely
than that. An interrupt prints what is there so far.
"""

import argparse
import importlib
import importlib.util
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import mir_eval
import numpy as np
import torch
from scipy import signal

from trisep.metrics import BssEval, BssReference, bss_eval_sources, si_sdr, snr

SAMPLE_RATE_HZ = 16000
KINDS = ("noise", "correlated", "tonal", "unequal", "all at once")
TOLERANCE_DB = 1e-6
WINDOW_SAMPLES, HOP_SAMPLES = 88200, 66150
"""museval's defaults, whatever the sample rate."""


def museval_metrics() -> ModuleType:
    """museval's metrics alone: the package around them does not import where there is no ffmpeg, which they do not
    need.
    """
    package = importlib.util.find_spec("museval")
    if package is None or package.origin is None:
        raise SystemExit("museval is not installed: pip install museval")
    spec = importlib.util.spec_from_file_location("museval_metrics", Path(package.origin).with_name("metrics.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MUSEVAL = museval_metrics()
FAST = importlib.import_module("fast_bss_eval") if importlib.util.find_spec("fast_bss_eval") else None
"""The package of Scheibler (2022), compared where it is installed."""


@dataclass(slots=True)
class Row:
    """What is compared with what, and what all cases add up to."""

    metric: str
    oracle: str
    num_cases: int = 0
    num_within: int = 0
    largest_difference_db: float = 0.0
    our_seconds: float = 0.0
    their_seconds: float = 0.0

    def add(self, ours: tuple[np.ndarray, float], theirs: tuple[np.ndarray, float]) -> float:
        """Enter the values and processor seconds of a case; returns the largest difference in dB."""
        difference = largest_difference_db(ours[0], theirs[0])
        self.num_cases += 1
        self.num_within += difference <= TOLERANCE_DB
        self.largest_difference_db = max(self.largest_difference_db, difference)
        self.our_seconds += ours[1]
        self.their_seconds += theirs[1]
        return difference

    def __str__(self) -> str:
        share = f"{100 * self.num_within / self.num_cases:.0f} %"
        times = f"{1e3 * self.our_seconds / self.num_cases:.2f} | {1e3 * self.their_seconds / self.num_cases:.2f}"
        ratio = f"{self.their_seconds / self.our_seconds:.1f}"
        agreement = f"{self.num_cases} | {self.largest_difference_db:.1e} | {share}"
        return f"| {self.metric} | {self.oracle} | {agreement} | {times} | {ratio} |"


def draw_case(kind: str, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    num_sources = int(generator.integers(1, 4))
    num_samples = int(generator.uniform(1.0, 8.0) * SAMPLE_RATE_HZ)
    sources = generator.standard_normal((num_sources, num_samples))
    if kind in ("tonal", "all at once"):
        seconds = np.arange(num_samples) / SAMPLE_RATE_HZ
        for source in sources:
            pitch_hz, decay = generator.uniform(80.0, 900.0), generator.uniform(0.0, 2.0)
            partials = [
                np.sin(2 * np.pi * h * pitch_hz * seconds + generator.uniform(0.0, 6.0)) / h for h in range(1, 9)
            ]
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


def timed(function: Callable[..., np.ndarray], *arguments: np.ndarray) -> tuple[np.ndarray, float]:
    """What the function gives, and the processor seconds that it takes."""
    start = time.process_time()
    return function(*arguments), time.process_time() - start


def largest_difference_db(ours: np.ndarray, theirs: np.ndarray) -> float:
    without_error = (ours > 200.0) & (theirs > 200.0)
    return float(np.max(np.abs(np.where(without_error, 0.0, ours) - np.where(without_error, 0.0, theirs))))


def stacked(result: BssEval) -> np.ndarray:
    return np.stack([result.sdr, result.sir, result.sar])


def our_ratios(sources: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    return stacked(bss_eval_sources(reference=sources, estimate=estimates))


def our_ratios_with_mixture(sources: np.ndarray, estimates: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    truth = BssReference(sources)
    return np.stack([stacked(truth.score(estimates)), stacked(truth.score_mixture(mixture))])


def our_ratios_of_two(sources: np.ndarray, estimates: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """Two systems and the mixture, as in an evaluation: a model's estimates alone and together."""
    truth = BssReference(sources)
    systems = (estimates, estimates + 0.1 * mixture)
    return np.stack([*(stacked(truth.score(one)) for one in systems), stacked(truth.score_mixture(mixture))])


def mir_eval_ratios(sources: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    return np.stack(mir_eval.separation.bss_eval_sources(sources, estimates, compute_permutation=False)[:3])


def museval_v3_ratios(sources: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    sdr, sir, sar, _ = MUSEVAL.bss_eval_sources(sources[..., None], estimates[..., None], compute_permutation=False)
    return np.stack([sdr, sir, sar])[..., 0]


def fast_ratios(sources: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    """By its direct solver, in double precision, through PyTorch: with NumPy 2 its own NumPy code fails (0.1.4)."""
    assert FAST is not None
    tensors = (torch.from_numpy(np.ascontiguousarray(one)) for one in (sources, estimates))
    return np.stack([one.numpy() for one in FAST.bss_eval_sources(*tensors, compute_permutation=False)[:3]])


def museval_sdr(sources: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    """By default: one value per source and window."""
    return np.asarray(MUSEVAL.bss_eval(sources[..., None], estimates[..., None])[0])


def museval_sdr_of_the_whole(sources: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    return np.asarray(MUSEVAL.bss_eval(sources[..., None], estimates[..., None], window=np.inf, hop=np.inf)[0])[:, 0]


def our_snr(sources: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    return snr(reference=sources, estimate=estimates)


def our_snr_by_window(sources: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    starts = range(0, max(sources.shape[1] - WINDOW_SAMPLES, 0) + 1, HOP_SAMPLES)
    windows = [slice(start, start + WINDOW_SAMPLES) for start in starts]
    return np.stack([our_snr(sources[:, window], estimates[:, window]) for window in windows], axis=1)


def our_si_sdr(sources: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    return si_sdr(reference=sources, estimate=estimates)


def si_sdr_by_cosine(sources: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    energies = np.einsum("ns,ns->n", sources, sources) * np.einsum("ns,ns->n", estimates, estimates)
    squared_cosine = np.einsum("ns,ns->n", sources, estimates) ** 2 / energies
    return 10.0 * np.log10(squared_cosine / (1.0 - squared_cosine))


def run_case(rows: dict[str, Row], name: str, sources: np.ndarray, estimates: np.ndarray) -> None:
    """Enter one case in every row; say so where one is beyond the tolerance."""
    mixture = sources.sum(axis=0) + 0.01 * np.roll(estimates[0], 7000)
    repeated = np.broadcast_to(mixture, sources.shape)
    ours, oracle = timed(our_ratios, sources, estimates), timed(mir_eval_ratios, sources, estimates)
    museval_v3 = timed(museval_v3_ratios, sources, estimates)
    beyond = []
    for index, metric in enumerate(("sdr", "sir", "sar")):
        for key, theirs in (("mir_eval", oracle), ("museval v3", museval_v3)):
            difference = rows[f"{metric} {key}"].add((ours[0][index], ours[1]), (theirs[0][index], theirs[1]))
            beyond += [f"{metric} {difference:.1e} from {key}"] if difference > TOLERANCE_DB else []
    if FAST is not None:
        rows["fast_bss_eval"].add(ours, timed(fast_ratios, sources, estimates))
    ours_both, oracle_mixture = (
        timed(our_ratios_with_mixture, sources, estimates, mixture),
        timed(mir_eval_ratios, sources, repeated),
    )
    rows["with mixture"].add(ours_both, (np.stack([oracle[0], oracle_mixture[0]]), oracle[1] + oracle_mixture[1]))
    second = timed(mir_eval_ratios, sources, estimates + 0.1 * mixture)
    all_three = (np.stack([oracle[0], second[0], oracle_mixture[0]]), oracle[1] + second[1] + oracle_mixture[1])
    rows["two with mixture"].add(timed(our_ratios_of_two, sources, estimates, mixture), all_three)
    windows = timed(museval_sdr, sources, estimates)
    rows["snr windows"].add(timed(our_snr_by_window, sources, estimates), windows)
    whole = (
        (windows[0][:, 0], windows[1])
        if sources.shape[1] <= WINDOW_SAMPLES
        else timed(museval_sdr_of_the_whole, sources, estimates)
    )
    rows["snr"].add(timed(our_snr, sources, estimates), whole)
    rows["si_sdr"].add(timed(our_si_sdr, sources, estimates), timed(si_sdr_by_cosine, sources, estimates))
    if beyond:
        itself = largest_difference_db(mir_eval_ratios(0.37 * sources, estimates), oracle[0])
        apart = largest_difference_db(museval_v3[0], oracle[0])
        print(
            f"{name}, {len(sources)} sources: {'; '.join(beyond)}; mir_eval from itself {itself:.1e}, from museval v3 "
            f"{apart:.1e}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100, help="number of random cases (default 100)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message="mir_eval.separation", category=FutureWarning)
    rows = {
        f"{metric} {oracle}": Row(metric, oracle)
        for oracle in ("mir_eval", "museval v3")
        for metric in ("sdr", "sir", "sar")
    }
    if FAST is not None:
        rows["fast_bss_eval"] = Row("sdr, sir, sar", "fast_bss_eval")
    rows["with mixture"] = Row("sdr, sir, sar + mixture", "mir_eval")
    rows["two with mixture"] = Row("sdr, sir, sar of two systems + mixture", "mir_eval")
    rows["snr"] = Row("snr", "museval's SDR, one window")
    rows["snr windows"] = Row("snr by window", "museval's SDR, default")
    rows["si_sdr"] = Row("si_sdr", "ρ² / (1 − ρ²)")
    generator = np.random.default_rng(arguments.seed)
    with suppress(KeyboardInterrupt):
        for index in range(arguments.cases):
            kind = KINDS[index % len(KINDS)]
            run_case(rows, f"case {index} ({kind})", *draw_case(kind, generator))
    names = (
        "metric",
        "oracle",
        "cases",
        "largest difference, dB",
        "within 1e-6 dB",
        "ours, ms",
        "theirs, ms",
        "ratio of times",
    )
    print("| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|")
    for row in rows.values():
        print(row)


if __name__ == "__main__":
    main()
