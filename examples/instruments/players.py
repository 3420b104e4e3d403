"""What plays notes: soundfonts by FluidSynth, recorded notes and drum hits by resampling."""

import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile  # type: ignore[import-untyped]
import soxr  # type: ignore[import-untyped]
from playing import Note, Random

RATE_HZ, BLOCK = 44_100, 256  # a multiple of 64, by which FluidSynth starts notes
KIT_KEYS = {
    "kick": (36,), "bassdrum": (36,), "rim click": (37,), "snare rimshot": (40,), "snare dry": (40,), "snare": (38,),
    "hi-hat closed": (42,), "hi hat closed": (42,), "hi-hat pedal": (44,), "hi hat free": (44,),
    "hi-hat open": (46,), "hi hat opened": (46,), "tom low": (41, 43), "floor tom": (41, 43, 45), "tom mid": (45, 47),
    "tom high": (48, 50), "tom": (47, 48, 50), "ride bell": (53,), "ride": (51,),
    "crash left": (49,), "crash right": (57,), "crash/ride": (57,), "crash": (49,),
}  # fmt: skip
"""How a drum's name in a Hydrogen kit begins → General MIDI keys."""


class Instrument(NamedTuple):
    """A row of `instruments.csv`: the place of the sounds in the library (soundfont: bank:program, several with spaces
    between; tonejs: the package's name), lowest and highest key, the family of `STYLES`, the number of clips.
    """

    label: str
    library: str
    source: str
    low: int
    high: int
    family: str
    num_clips: int


class Font:
    """A soundfont, played by FluidSynth without its effects."""

    def __init__(self, path: Path) -> None:
        try:
            import fluidsynth  # type: ignore[import-not-found]
        except ImportError as error:
            sys.exit(f"{path}: cannot be played ({error}); pip install pyfluidsynth, apt-get install libfluidsynth3")
        self._synth = fluidsynth.Synth(gain=0.4, samplerate=float(RATE_HZ))
        for effect in ("reverb", "chorus"):
            self._synth.setting(f"synth.{effect}.active", 0)
        self._font = self._synth.sfload(str(path))

    def play(self, random: Random, what: Instrument, notes: list[Note], bend: np.ndarray) -> np.ndarray:
        """Return the sound, [samples]; played again, softer or louder, where 16 bits were too few."""
        programs = what.source.split()
        bank, program = map(int, programs[int(random.integers(len(programs)))].split(":"))
        source = bank, program
        sound = self._once(source, notes, bend, 0.4)
        peak = max(1e-3, float(np.abs(sound).max()))
        if 0.05 < peak < 0.9:
            return sound
        return self._once(source, notes, bend, min(8.0, 0.4 * (0.25 if peak > 0.9 else 0.5) / peak))

    def _once(self, source: tuple[int, int], notes: list[Note], bend: np.ndarray, gain: float) -> np.ndarray:
        synth, drums = self._synth, source[0] == 128
        channel = 9 if drums else 0
        synth.system_reset()
        synth.setting("synth.gain", gain)
        synth.program_select(channel, self._font, *source)
        for controller, value in ((101, 0), (100, 0), (6, 12), (38, 0)):
            synth.cc(channel, controller, value)
        synth.get_samples(80 * BLOCK)  # the clip before dies away
        events = _events(notes)
        out = []
        for block, semitones in enumerate(bend):
            while events and events[0][0] <= block * BLOCK / RATE_HZ:
                _, on, key, velocity = events.pop(0)
                synth.noteon(channel, key, int(np.clip(velocity, 30, 125))) if on else synth.noteoff(channel, key)
            synth.pitch_bend(channel, int(np.clip(semitones / 12 * 8192, -8192, 8191)))
            out.append(synth.get_samples(BLOCK).reshape(-1, 2).mean(axis=1) / 32768)
        return np.concatenate(out)


def _events(notes: list[Note]) -> list[tuple[float, int, int, float]]:
    """Return (seconds, 1 or 0, key, velocity) of keys going down and up, up at the latest where they go down again."""
    events: list[tuple[float, int, int, float]] = []
    again: dict[int, float] = {}
    for note in sorted(notes, reverse=True):
        end = min(note.start + note.seconds, again.get(note.key, np.inf))
        events += [(note.start, 1, note.key, note.velocity), (end, 0, note.key, 0.0)]
        again[note.key] = note.start
    return sorted(events)


class Samples:
    """Recorded notes or drum hits: key → recordings from soft to loud, and the pitch that each really has."""

    def __init__(self, sounds: dict[int, list[np.ndarray]], pitches: dict[int, float] | None) -> None:
        self._sounds, self._pitches = sounds, pitches

    def play(self, random: Random, what: Instrument, notes: list[Note], bend: np.ndarray) -> np.ndarray:
        """Return the sound, [samples]: the nearest recording of each note, resampled along the bend."""
        out = np.zeros(len(bend) * BLOCK)
        release = random.uniform(0.15, 0.4) if what.family in ("plucked", "keyboard") else random.uniform(0.05, 0.12)
        curve = np.repeat(bend, BLOCK)
        end = 0.0
        for note in notes:
            key = min(self._sounds, key=lambda known, note=note: abs(known - note.key))  # type: ignore[misc]
            layers = self._sounds[key]
            place = int(np.clip(note.velocity / 126 * len(layers) + random.normal(0, 0.3), 0, len(layers) - 1))
            first, length = int(note.start * RATE_HZ), int((note.seconds + release) * RATE_HZ)
            if self._pitches is None:
                length, ratio = len(out), np.full(len(out), 2 ** (bend[0] / 12))[: len(out) - first]
            else:
                ratio = 2 ** ((note.key - self._pitches[key] + curve[first : first + length]) / 12)
            slurred = what.family in ("bowed", "blown") and note.start <= end + 0.01 and random.random() < 0.6
            end = note.start + note.seconds
            positions = (0.05 * RATE_HZ if slurred else 0) + np.cumsum(ratio)
            sound = np.interp(positions, np.arange(len(layers[place])), layers[place], right=0.0)
            fade = int((0.025 if slurred else 0.002) * RATE_HZ)
            sound[:fade] *= np.linspace(0, 1, fade)[: len(sound)]
            if self._pitches is not None:
                tail = np.arange(len(sound)) / RATE_HZ - note.seconds
                sound *= np.exp(-np.maximum(tail, 0) / release * 5)
            loudness = (np.clip(note.velocity, 30, 125) / 100) ** (1.6 if len(layers) == 1 else 0.8)
            out[first : first + len(sound)] += loudness * sound
        return out


def _read(path: Path) -> np.ndarray:
    """Return a recording in mono at `RATE_HZ`, from where it starts to sound, at an RMS of 0.1 in its first second."""
    sound, rate = soundfile.read(path, always_2d=True)
    mono = soxr.resample(sound.mean(axis=1), rate, RATE_HZ)
    loud = np.flatnonzero(np.abs(mono) > 0.02 * np.abs(mono).max())
    return np.asarray(mono[max(0, loud[0] - 200) :]) if len(loud) else np.zeros(1)


def _pitch(sound: np.ndarray, key: float) -> float:
    """Return the MIDI pitch that a note really has, by autocorrelation within an octave and a bit of the named one; the
    named one where nothing repeats, or what does is no octave of it.
    """
    cut = sound[int(0.1 * RATE_HZ) :][: int(0.5 * RATE_HZ)]
    cut = cut - cut.mean() if len(cut) else np.zeros(16)
    spectrum = np.fft.rfft(cut, 2 * len(cut))
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[: len(cut)] / np.arange(len(cut), 0, -1)
    period = RATE_HZ / (440 * 2 ** ((key - 69) / 12))
    lags = np.arange(max(2, int(period / 2.4)), min(int(period * 2.4), len(cut) // 2))
    if not len(lags) or correlation[0] <= 0:
        return key
    values = correlation[lags] / correlation[0]
    good = np.flatnonzero(
        (values > 0.9 * values.max()) & (values >= np.roll(values, 1)) & (values >= np.roll(values, -1))
    )
    if values.max() < 0.5 or not len(good):
        return key
    best = good[0]
    before, here, after = values[max(0, best - 1)], values[best], values[min(best + 1, len(values) - 1)]
    between = 0.5 * (before - after) / (before - 2 * here + after - 1e-12)
    found = 69 + 12 * np.log2(RATE_HZ / (lags[best] + np.clip(between, -1, 1)) / 440)
    wrong_octave = 12 * round((found - key) / 12)
    return float(found) if abs(found - key - wrong_octave) < 1.0 else key


def read_tonejs(folder: Path) -> Samples:
    """Read the recorded notes of an npm package; their names are the pitches, which are measured."""
    sounds, pitches = {}, {}
    for path in sorted(folder.rglob("*.mp3")):
        named = re.fullmatch(r"([A-G])([sb#]?)(-?\d)", path.stem)
        if named is None:
            continue
        key = "C D EF G A B".index(named[1]) + {"s": 1, "#": 1, "b": -1, "": 0}[named[2]] + 12 * (int(named[3]) + 1)
        sound = _read(path)
        pitch = _pitch(sound, key)
        if len(sound) < 0.3 * RATE_HZ or round(pitch) in sounds:
            continue
        level = np.sqrt(np.mean(sound[:RATE_HZ] ** 2)) + 1e-6
        sounds[round(pitch)], pitches[round(pitch)] = [sound * 0.1 / level], pitch
    return Samples(sounds, pitches)


def read_hydrogen(folder: Path) -> Samples:
    """Read the drums of a Hydrogen kit that `KIT_KEYS` knows, from soft to loud."""
    sounds: dict[int, list[np.ndarray]] = {}
    text = re.sub(r'\sxmlns\S*="[^"]*"|xsi:\S+="[^"]*"', "", (folder / "drumkit.xml").read_text(errors="replace"))
    for drum in ElementTree.fromstring(text).iter("instrument"):
        name = (drum.findtext("name") or "").lower()
        keys = next((keys for start, keys in KIT_KEYS.items() if name.startswith(start)), ())
        layers = sorted(drum.iter("layer"), key=lambda layer: float(layer.findtext("min") or 0))
        files = [folder / (layer.findtext("filename") or "") for layer in layers]
        for key in keys:
            if key not in sounds and files:
                sounds[key] = [_read(path) for path in files]
    return Samples(sounds, None)
