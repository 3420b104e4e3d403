"""How players play, as seeded lists of notes: folk-like melodies, long notes, scales, repeated notes, double stops,
tremolo, arpeggios, strums, chords, phrases with breaths, drum grooves, rolls and fills.

`render_instruments.py` turns the notes into sound. Nothing here knows of sound, files or instruments' names.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

CLIP_SECONDS = 6.6
MODES = (
    (0, 2, 4, 5, 7, 9, 11),
    (0, 2, 3, 5, 7, 8, 10),
    (0, 2, 3, 5, 7, 9, 10),
    (0, 2, 4, 5, 7, 9, 10),
    (0, 2, 4, 7, 9),
)
RHYTHMS = {  # beats of a bar
    4: ((1, 1, 1, 1), (0.5,) * 8, (1, 0.5, 0.5, 1, 1), (1.5, 0.5, 1, 1), (0.5, 0.5, 1, 0.5, 0.5, 1), (2, 1, 1), (3, 1)),
    3: ((1, 1, 1), (2, 1), (1.5, 0.5, 1), (0.5,) * 6, (1, 0.5, 0.5, 1), (3,)),
    2: ((0.75, 0.25, 1), (1 / 3,) * 6, (2 / 3, 1 / 3) * 2, (0.25,) * 4 + (0.5, 0.5), (1, 1), (2,)),
}

Random = np.random.Generator


class Note(NamedTuple):
    """A key struck at a time: start and length in seconds, MIDI key and velocity."""

    start: float
    seconds: float
    key: int
    velocity: float


def scale_within(random: Random, low: int, high: int) -> list[int]:
    """Return the keys between `low` and `high` of a drawn scale, at least six of them."""
    tonic, mode = int(random.integers(12)), MODES[int(random.choice(len(MODES), p=(0.35, 0.2, 0.15, 0.15, 0.15)))]
    keys = [key for key in range(low, high + 1) if (key - tonic) % 12 in mode]
    return keys if len(keys) >= 6 else list(range(low, high + 1))


def one_at_a_time(notes: list[Note]) -> list[Note]:
    """Return notes of which each ends where the next begins, with 30 ms of legato: a wind instrument's."""
    starts = [note.start for note in notes[1:]] + [float("inf")]
    return [
        note._replace(seconds=min(note.seconds, max(0.05, start - note.start + 0.03)))
        for note, start in zip(notes, starts, strict=True)
    ]


def _window(random: Random, keys: list[int], size: int) -> list[int]:
    start = int(random.integers(max(1, len(keys) - size + 1)))
    return keys[start : start + size]


def _bars(random: Random, degrees: int, meter: int, bars: int) -> list[tuple[float, int]]:
    """Return (beats, degree) of a walk over the degrees: mostly steps, at times leaps back towards the middle."""
    walk, place = [], int(random.integers(degrees))
    for _ in range(bars):
        for beats in RHYTHMS[meter][int(random.integers(len(RHYTHMS[meter])))]:
            walk.append((float(beats), place))
            step = int(random.choice((-3, -2, -1, 0, 1, 2, 3, 4), p=(0.06, 0.12, 0.27, 0.08, 0.27, 0.12, 0.05, 0.03)))
            if not 0 <= place + step < degrees:
                step = -step
            place = min(max(place + step, 0), degrees - 1)
    return walk


def melody(random: Random, keys: list[int]) -> list[Note]:
    """Play a tune: a motif, its variation, the motif again (A A' B A), at 60-170 beats a minute."""
    keys, meter, beat = _window(random, keys, int(random.integers(6, 13))), int(random.choice((2, 3, 4))), 0.0
    seconds, level, held = 60 / random.uniform(60, 170), random.uniform(50, 112), random.choice((0.5, 0.85, 0.95, 1.04))
    first, other = (_bars(random, len(keys), meter, 2) for _ in range(2))
    varied = first[: len(first) // 2] + _bars(random, len(keys), meter, 1)
    notes: list[Note] = []
    for beats, degree in first + varied + other + first * 4:
        start = beat * seconds + random.normal(0, 0.006) + 0.03
        if start > CLIP_SECONDS:
            break
        accent = 8 if beat % meter < 0.01 else 0
        notes.append(Note(max(0.0, start), beats * seconds * held, keys[degree], level + accent + random.normal(0, 6)))
        beat += beats
    return notes


def long_notes(random: Random, keys: list[int]) -> list[Note]:
    """Hold notes of 1-4 s."""
    notes, time = [], random.uniform(0, 0.3)
    while time < CLIP_SECONDS - 0.8:
        seconds = random.uniform(1, 4)
        notes.append(Note(time, seconds, int(random.choice(keys)), random.uniform(40, 120)))
        time += seconds + random.choice((0.0, 0.05, 0.3))
    return notes


def scale(random: Random, keys: list[int]) -> list[Note]:
    """Play a scale, or one in thirds, up and down, at 2-9 notes a second."""
    keys = _window(random, keys, int(random.integers(6, 16)))
    thirds = random.random() < 0.25
    up = [key for pair in zip(keys, keys[2:], strict=False) for key in pair] if thirds else keys
    order = (up + up[-2::-1]) if random.random() < 0.5 else (up[::-1] + up[1:])
    step, level, swell = 1 / random.uniform(2, 9), random.uniform(45, 105), random.uniform(-15, 15)
    held = random.choice((0.5, 0.9, 1.03))
    return _row(random, (order * 8)[: int(CLIP_SECONDS / step)], step, held, level, swell)


def _row(random: Random, keys: list[int], step: float, held: float, level: float, swell: float) -> list[Note]:
    """Play keys one after another at equal steps of seconds, louder or softer by `swell` towards the end."""
    growth = np.linspace(-swell, swell, max(1, len(keys)))
    return [
        Note(max(0.0, i * step + random.normal(0, 0.005)), step * held, key, level + growth[i] + random.normal(0, 5))
        for i, key in enumerate(keys)
    ]


def repeated(random: Random, keys: list[int]) -> list[Note]:
    """Repeat notes 3-9 times, louder or softer towards the end."""
    notes, time = [], 0.0
    while time < CLIP_SECONDS:
        count, step, key = int(random.integers(3, 10)), 1 / random.uniform(1.5, 8), int(random.choice(keys))
        row = _row(
            random, [key] * count, step, random.choice((0.4, 0.9)), random.uniform(55, 100), random.uniform(-30, 30)
        )
        notes += [note._replace(start=note.start + time) for note in row]
        time += count * step + random.choice((0.0, 0.25))
    return notes


def tremolo(random: Random, keys: list[int]) -> list[Note]:
    """Roll on a note, or between two, at 8-15 strokes a second."""
    notes, time = [], 0.0
    while time < CLIP_SECONDS:
        count, step, place = int(random.integers(8, 26)), 1 / random.uniform(8, 15), int(random.integers(len(keys)))
        pair = [keys[place], keys[max(0, place - int(random.choice((0, 0, 2))))]]
        row = _row(random, (pair * count)[:count], step, 1.0, random.uniform(55, 95), random.uniform(-25, 25))
        notes += [note._replace(start=note.start + time) for note in row]
        time += count * step
    return notes


def double_stops(random: Random, keys: list[int]) -> list[Note]:
    """Play pairs of notes, a third to a sixth apart."""
    notes, time = [], 0.0
    while time < CLIP_SECONDS - 0.3:
        place, gap = int(random.integers(len(keys) - 2)), int(random.choice((2, 3, 4, 5)))
        seconds, level = random.uniform(0.35, 2.0), random.uniform(50, 110)
        for key in (keys[place], keys[min(place + gap, len(keys) - 1)]):
            notes.append(Note(time + random.uniform(0, 0.02), seconds, key, level + random.normal(0, 4)))
        time += seconds
    return notes


def arpeggio(random: Random, keys: list[int]) -> list[Note]:
    """Break chords, 3-10 notes a second, damped or left to ring."""
    step, level, row = 1 / random.uniform(3, 10), random.uniform(50, 105), list[int]()
    while len(row) * step < CLIP_SECONDS:
        chord = keys[int(random.integers(max(1, len(keys) - 7))) :: 2][: int(random.integers(3, 7))]
        shape = chord + chord[-2:0:-1] if random.random() < 0.6 else chord
        row += shape * int(random.integers(1, 3))
    return _row(
        random, row[: int(CLIP_SECONDS / step)], step, random.choice((0.9, 1.5, 3.0)), level, random.uniform(-12, 12)
    )


def _chord(random: Random, keys: list[int], size: int) -> list[int]:
    root = int(random.integers(max(1, len(keys) - 2 * size)))
    return sorted({keys[min(root + step, len(keys) - 1)] for step in (0, 2, 4, 7, 9, 11)[:size]})


def strum(random: Random, keys: list[int]) -> list[Note]:
    """Strum chords of 3-6 strings, 8-30 ms from string to string, down and up."""
    keys, beat, time, notes = keys[: max(8, len(keys) * 2 // 3)], 60 / random.uniform(70, 150), 0.0, list[Note]()
    pattern = (1, 0.5, 0.5), (1, 1, 0.5, 0.5, 1), (0.5,) * 4, (2, 1, 1), (1.5, 0.5, 1, 1)
    rhythm, spread = pattern[int(random.integers(len(pattern)))], random.uniform(0.008, 0.03)
    while time < CLIP_SECONDS - 0.2:
        chord = _chord(random, keys, int(random.integers(3, 7)))
        for beats in rhythm * int(random.integers(1, 3)):
            strings, level = chord[:: int(random.choice((1, 1, -1)))], random.uniform(55, 110)
            for place, key in enumerate(strings):
                notes.append(Note(time + place * spread, beats * beat, key, level + random.normal(0, 5)))
            time += beats * beat
    return [note for note in notes if note.start < CLIP_SECONDS]


def chords(random: Random, keys: list[int]) -> list[Note]:
    """Strike chords of three and four notes."""
    keys, beat, time, notes = _window(random, keys, 18), 60 / random.uniform(60, 140), 0.0, list[Note]()
    while time < CLIP_SECONDS - 0.2:
        seconds, level = beat * random.choice((0.5, 1, 1, 2, 3)), random.uniform(45, 110)
        for key in _chord(random, keys, int(random.integers(3, 5))):
            notes.append(Note(time + random.uniform(0, 0.015), seconds * 0.95, key, level + random.normal(0, 4)))
        time += seconds
    return notes


def melody_with_chords(random: Random, keys: list[int]) -> list[Note]:
    """Play a tune above softer chords."""
    tune = melody(random, keys[len(keys) // 2 :])
    below = [note._replace(velocity=note.velocity * 0.75) for note in chords(random, keys[: len(keys) // 2 + 1])]
    return sorted(tune + below)


def phrases(random: Random, keys: list[int]) -> list[Note]:
    """Play freely: groups of 3-8 notes of uneven lengths, a breath of 0.2-0.7 s after each."""
    notes, time, place = list[Note](), random.uniform(0, 0.2), int(random.integers(len(keys)))
    while time < CLIP_SECONDS - 0.3:
        level = random.uniform(50, 105)
        for _ in range(int(random.integers(3, 9))):
            seconds = float(np.clip(random.lognormal(-1.0, 0.7), 0.09, 1.8))
            place = int(np.clip(place + random.integers(-4, 5), 0, len(keys) - 1))
            notes.append(Note(time, seconds * 1.02, keys[place], level + random.normal(0, 7)))
            time += seconds
        time += random.uniform(0.2, 0.7)
    return [note for note in notes if note.start < CLIP_SECONDS - 0.1]


def drone_melody(random: Random, keys: list[int]) -> list[Note]:
    """Play a tune over a held drone one and two octaves below its first key."""
    tune = melody(random, keys)
    drones = [Note(0.0, CLIP_SECONDS, max(36, tune[0].key - octave), 60) for octave in (12, 24)]
    return drones[: int(random.integers(1, 3))] + tune


def hand_percussion(random: Random, keys: list[int]) -> list[Note]:
    """Beat a drawn pattern of 16 steps on one to three sounds, with accents; at times a roll."""
    step, sounds = (
        60 / random.uniform(70, 170) / int(random.choice((2, 4))),
        [int(key) for key in random.permutation(keys)[:3]],
    )
    chance = random.uniform(0.4, 0.95)
    pattern = [int(random.choice(sounds)) if random.random() < chance or i % 4 == 0 else 0 for i in range(16)]
    hits = [(i, pattern[i % 16]) for i in range(int(CLIP_SECONDS / step))]
    level = random.uniform(60, 100)
    return [
        Note(
            max(0.0, i * step + random.normal(0, 0.006)),
            0.4,
            key,
            level + (14 if i % 4 == 0 else 0) + random.normal(0, 8),
        )
        for i, key in hits
        if key
    ]


def groove(random: Random, keys: list[int]) -> list[Note]:
    """Play a drum kit by General MIDI keys: a beat at 60-190 a minute with ghost notes, swing, cymbals and fills."""
    step, swing = 60 / random.uniform(60, 190) / 4, random.choice((0.0, 0.0, 0.2, 0.33))
    ride = int(random.choice((42, 42, 42, 51, 46, 53, 44)))
    often, level = int(random.choice((1, 2, 2, 4))), random.uniform(70, 105)
    kick = [i % 8 == 0 or random.random() < 0.18 for i in range(16)]
    snare = [i % 8 == 4 or random.random() < 0.06 for i in range(16)]
    drum, ghosts, fill_bar = int(random.choice((38, 38, 40, 37))), random.uniform(0, 0.2), int(random.integers(1, 3))
    toms = (50, 48, 47, 45, 43, 41)
    notes = []
    for i in range(int(CLIP_SECONDS / step)):
        bar, place = divmod(i, 16)
        time = (i + (swing if i % 2 else 0.0)) * step
        hits = [(36, 8.0)] if kick[place] else []
        if bar % 3 == fill_bar and place >= 8:
            hits += [(int(toms[min(5, (place - 8) * 6 // 8)]) if random.random() < 0.8 else 38, 6.0)]
        else:
            hits += [(drum, 10.0)] if snare[place] else [(38, -35.0)] if random.random() < ghosts else []
            hits += [(ride if random.random() > 0.04 else 46, -8.0 if i % 4 else 0.0)] if place % often == 0 else []
        hits += [(int(random.choice((49, 57))), 5.0)] if place == 0 and random.random() < 0.35 else []
        for key, accent in hits:
            notes.append(Note(max(0.0, time + random.normal(0, 0.005)), 2.5, key, level + accent + random.normal(0, 6)))
    return notes


def drum_rolls(random: Random, keys: list[int]) -> list[Note]:
    """Roll on snare, toms or cymbals, growing or fading, with a stroke at the end of each."""
    notes, time = list[Note](), 0.0
    while time < CLIP_SECONDS - 0.3:
        count, step = int(random.integers(8, 36)), 1 / random.uniform(7, 18)
        drums = ([38], [38], [41, 43], [50, 47, 43], [51], [36, 38], [49])[int(random.integers(7))]
        row = _row(
            random, [drums[i * len(drums) // count] for i in range(count)], step, 2.0, 75, random.uniform(-30, 30)
        )
        notes += [note._replace(start=note.start + time) for note in row]
        time += count * step
        notes.append(Note(time, 2.5, int(random.choice((36, 49, 38))), 110))
        time += random.uniform(0.1, 0.5)
    return [note for note in notes if note.start < CLIP_SECONDS]


Style = Callable[[Random, list[int]], list[Note]]
STYLES: dict[str, tuple[Style, ...]] = {
    "bowed": (long_notes, scale, repeated, double_stops, tremolo, arpeggio, phrases, long_notes),
    "blown": (long_notes, scale, repeated, phrases, arpeggio, long_notes, phrases),
    "plucked": (strum, arpeggio, repeated, tremolo, scale, phrases, chords, long_notes),
    "keyboard": (chords, melody_with_chords, arpeggio, scale, repeated, melody_with_chords, phrases),
    "sustained": (chords, melody_with_chords, long_notes, chords, double_stops, phrases, melody_with_chords),
    "struck": (tremolo, scale, arpeggio, repeated, double_stops, phrases, long_notes),
    "pipes": (drone_melody, long_notes, scale, phrases, drone_melody),
    "drums": (groove, groove, groove, drum_rolls),
    "percussion": (hand_percussion,),
}
"""What an instrument of a family plays besides melodies."""
