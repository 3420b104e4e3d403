"""A long file through `separate`: peak memory, speed, seams, and agreement of segmented with unsegmented masks. Prints
one table.

    python benchmarks/long_file.py MEDIA_FOLDER --model CHECKPOINT [--minutes 10 60] [--segments 8 20 40]
    python benchmarks/long_file.py MEDIA_FOLDER --forms 44100x2x60 8000x1x180 192000x8x2

The long file is made from the clips of MEDIA_FOLDER, looped as 44.1 kHz stereo with drifting gains. Each separation of
it runs in a process of its own, whose peak memory and time the system reports. On Linux a line shows its memory over
time: the largest of what is resident in each tenth of the run. `--forms` measures memory and time alone, of files of
any rate (Hz), number of channels and length (minutes).
"""

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from trisep.errors import MediaError
from trisep.media import MEDIA_SUFFIXES
from trisep.media.audio import read_audio, stream_audio
from trisep.media.audio_writer import AudioWriter
from trisep.queries.embed import as_queries
from trisep.separation.options import SeparationOptions
from trisep.separation.separator import Separator, load
from trisep.types import Audio

RATE_HZ = 44100
QUERIES = ["violin", "dog barking"]
_CHILD = """
import re, resource, sys
from pathlib import Path
from trisep import cli
code = cli.main(sys.argv[1:])
usage, peak = resource.getrusage(resource.RUSAGE_SELF), None
status = Path("/proc/self/status")
if status.is_file():
    peak = re.search(r"VmHWM:\\s+(\\d+)", status.read_text())
print(usage.ru_utime + usage.ru_stime, peak[1] if peak else usage.ru_maxrss)
sys.exit(code)
"""
"""On Linux `ru_maxrss` begins at the peak of the process that started this one."""


def clips(folder: Path, limit: int = 40, *, rate_hz: int = RATE_HZ) -> list[np.ndarray]:
    """Sounds [2, n] of the first media files of a folder."""
    sounds = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in MEDIA_SUFFIXES or len(sounds) == limit:
            continue
        try:
            samples = read_audio(path, sample_rate_hz=rate_hz).samples
        except MediaError:
            continue
        sounds.append(np.repeat(samples, 2, axis=0)[:2] if samples.shape[0] == 1 else samples[:2])
    if not sounds:
        raise SystemExit(f"{folder}: no media file with sound in it")
    return sounds


def mixed_blocks(sounds: list[np.ndarray], num_samples: int, *, rate_hz: int = RATE_HZ, num_channels: int = 2):
    """Two loops through the clips, one in reverse order, whose gains drift in the channels with different phases; even
    channels take the first of the clips' channels, odd ones the second.
    """
    sides, phases = np.arange(num_channels) % 2, 0.3 * np.arange(num_channels)[:, None]
    loops = [np.concatenate(sounds, axis=1), np.concatenate(sounds[::-1], axis=1)]
    for begin in range(0, num_samples, rate_hz):
        index = np.arange(begin, min(begin + rate_hz, num_samples))
        seconds = index / rate_hz
        block = np.zeros((num_channels, len(index)), np.float32)
        for loop, period in zip(loops, (37.0, 53.0), strict=True):
            gains = 0.3 + 0.2 * np.sin(2 * np.pi * (seconds / period + phases))
            block += (gains * loop[:, index % loop.shape[1]][sides]).astype(np.float32)
        yield block


def write_long_file(
    path: Path, sounds: list[np.ndarray], minutes: float, *, rate_hz: int = RATE_HZ, num_channels: int = 2
) -> None:
    """The long mixture as 32-bit float wav, at a level that never clips."""
    num_samples = int(minutes * 60 * rate_hz)
    with AudioWriter(path, sample_rate_hz=rate_hz, num_channels=num_channels, subtype="wav_float32") as writer:
        for block in mixed_blocks(sounds, num_samples, rate_hz=rate_hz, num_channels=num_channels):
            writer.write(block)


def resident_mib(process: subprocess.Popen[str]) -> float:
    """What a running process has in memory; nan where the system does not say."""
    status = Path(f"/proc/{process.pid}/status")
    found = re.search(r"VmRSS:\s+(\d+)", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else float("nan")


def separate_in_process(path: Path, out: Path, model: str) -> tuple[float, float, float, list[float]]:
    """(seconds, seconds of processor time over all cores, peak MiB, MiB in each tenth of the run) of the command."""
    start = time.monotonic()
    command = [
        sys.executable,
        "-c",
        _CHILD,
        "separate",
        str(path),
        *QUERIES,
        "--out",
        str(out),
        "--model",
        model,
        "--device",
        "cpu",
    ]
    samples = []
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, text=True)
        while process.poll() is None:
            samples.append(resident_mib(process))
            time.sleep(0.05)
        output.seek(0)
        text = output.read()
    if process.returncode != 0:
        raise SystemExit(text)
    processor_seconds, peak_kib = text.split()[-2:]
    tenths = [float(np.nanmax(part)) for part in np.array_split(samples, min(10, len(samples)))]
    return time.monotonic() - start, float(processor_seconds), int(peak_kib) / 1024, tenths


def largest_steps(path: Path, joints: np.ndarray) -> tuple[float, float]:
    """Largest difference of neighbouring samples within 20 ms of a joint, and elsewhere."""
    near = far = 0.0
    begin, last = 0, np.zeros((2, 1), np.float32)
    for block in stream_audio(path):
        joined = np.concatenate([last, block], axis=1)
        steps = np.abs(np.diff(joined, axis=1)).max(axis=0)
        positions = begin - 1 + np.arange(len(steps))
        place = (
            np.searchsorted(joints, positions).clip(1, len(joints) - 1)
            if len(joints) > 1
            else np.zeros(len(positions), int)
        )
        distance = np.minimum(abs(positions - joints[place]), abs(positions - joints[place - 1]))
        at_joint = distance < 0.02 * RATE_HZ
        near = max(near, float(steps[at_joint].max(initial=0.0)))
        far = max(far, float(steps[~at_joint].max(initial=0.0)))
        begin, last = begin + block.shape[1], block[:, -1:]
    return near, far


def agreement_db(separator: Separator, mixture: Audio, segments: list[float]) -> list[tuple[float, float]]:
    """SI-SDR of the stems for each segment length against one run over everything; the lowest over queries and
    channels.
    """
    whole = separator.separate(mixture, QUERIES, SeparationOptions(segment_seconds=10 * mixture.duration_seconds))
    rows = []
    for seconds in segments:
        stems = separator.separate(mixture, QUERIES, SeparationOptions(segment_seconds=seconds)).stems
        values = []
        for query, stem in stems.items():
            reference, estimate = (
                whole.stems[query].audio.samples.astype(np.float64),
                stem.audio.samples.astype(np.float64),
            )
            error = estimate - reference * (estimate * reference).sum() / (reference**2).sum()
            values.append(10 * np.log10((reference**2).sum() / max((error**2).sum(), 1e-30)))
        rows.append((seconds, min(values)))
    return rows


def measure_form(folder: Path, form: str, model: str) -> None:
    """Print speed and peak memory of one file, given as rate, channels and minutes."""
    rate, channels, minutes = (float(part) for part in form.split("x"))
    layout = {"rate_hz": int(rate), "num_channels": int(channels)}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "long.wav"
        write_long_file(path, clips(folder, rate_hz=int(rate)), minutes, **layout)
        seconds, processor_seconds, peak_mib, tenths = separate_in_process(path, Path(scratch) / "stems", model)
    speed = f"{seconds:.1f} s, {minutes * 60 / seconds:.1f} x real time"
    print(f"{form}: {speed}, {processor_seconds:.1f} s of processor time, peak {peak_mib:.0f} MiB", flush=True)
    print(f"    {by_tenth(tenths)}", flush=True)


def by_tenth(tenths: list[float]) -> str:
    """What is printed of memory over time."""
    return f"MiB by tenth of the run: {' '.join(f'{value:.0f}' for value in tenths)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--minutes", type=float, nargs="*", default=[10.0, 60.0])
    parser.add_argument("--segments", type=float, nargs="*", default=[4.0, 8.0, 16.0, 30.0])
    parser.add_argument("--forms", nargs="*", metavar="HZxCHANNELSxMINUTES", help="measure these files alone")
    arguments = parser.parse_args()
    if arguments.forms:
        for form in arguments.forms:
            measure_form(arguments.folder, form, arguments.model)
        return
    sounds = clips(arguments.folder)
    separator = load(arguments.model, device="cpu")
    with tempfile.TemporaryDirectory() as scratch:
        for minutes in arguments.minutes:
            path, out = Path(scratch) / "long.wav", Path(scratch) / "stems"
            write_long_file(path, sounds, minutes)
            seconds, processor_seconds, peak_mib, tenths = separate_in_process(path, out, arguments.model)
            speed = f"{seconds:.1f} s, {minutes * 60 / seconds:.1f} x real time"
            cost = f"{processor_seconds:.1f} s of processor time, peak {peak_mib:.0f} MiB"
            print(f"{minutes:g} min: {speed}, {cost}", flush=True)
            print(f"    {by_tenth(tenths)}", flush=True)
            plan = separator.start(path, as_queries(QUERIES)).plan
            core = plan.num_core_frames * separator.signal.hop_samples / separator.signal.sample_rate_hz
            print(f"    segments of {core:.1f} s, read with {plan.num_context_frames} frames more on either side")
            joints = (np.arange(1, minutes * 60 / core + 1) * core * RATE_HZ).astype(int)
            for file in ("violin.wav", "dog_barking.wav", "residual.wav"):
                near, far = largest_steps(out / file, joints)
                print(f"    {file}: largest sample step {near:.4f} at joints, {far:.4f} elsewhere")
    mixture = Audio(np.concatenate(list(mixed_blocks(sounds, 60 * RATE_HZ)), axis=1), RATE_HZ)
    for seconds, value in agreement_db(separator, mixture, arguments.segments):
        print(f"segment {seconds:g} s: SI-SDR {value:.1f} dB against the unsegmented result")
    print(f"peak of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
