"""Separates a sound by words with an export of `trisep export`, without PyTorch or trisep.

    python separate_with_onnx.py EXPORT SOUND WORDS OUTPUT

SOUND is a wav or flac file at the rate of the model (16 kHz); several channels become one.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile

if len(sys.argv) != 5:
    sys.exit(__doc__)
export, sound, words, output = Path(sys.argv[1]), *sys.argv[2:5]
for needed in (export / "export.json", Path(sound)):
    if not needed.is_file():
        sys.exit(f"{needed}: no such file; expected a folder that `trisep export` wrote, and a sound")
settings = json.loads((export / "export.json").read_text(encoding="utf-8"))
grids, signal = np.load(export / "grids.npz"), settings["signal"]
pieces = {piece: row for row, piece in enumerate((export / "vocabulary.txt").read_text(encoding="utf-8").splitlines())}


def run(name: str, **inputs: np.ndarray) -> np.ndarray:
    """The output of one network."""
    session = onnxruntime.InferenceSession(str(export / f"{name}.onnx"), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


def word_pieces(text: str) -> list[int]:
    """The longest pieces first, as WordPiece cuts them; for words of plain letters."""
    found = []
    for word in re.findall(r"[a-z0-9]+|[^\sa-z0-9]", text.lower()):
        begin = 0
        while begin < len(word):
            known = (end for end in range(len(word), begin, -1) if ("##" * (begin > 0) + word[begin:end]) in pieces)
            end = next(known, None)
            if end is None:
                found.append(pieces["[UNK]"])
                break
            found.append(pieces["##" * (begin > 0) + word[begin:end]])
            begin = end
    return [pieces["[CLS]"], *found, pieces["[SEP]"]]


rows = [word_pieces(template.format(words)) for template in settings["templates"]]
length = max(map(len, rows))
ids = np.array([row + [0] * (length - len(row)) for row in rows])
attention = np.array([[1] * len(row) + [0] * (length - len(row)) for row in rows])
vector = run("words", ids=ids, attention=attention)

samples, rate_hz = soundfile.read(sound, dtype="float32", always_2d=True)
if rate_hz != signal["sample_rate_hz"]:
    sys.exit(f"{sound}: has {rate_hz} Hz, the model hears {signal['sample_rate_hz']} Hz; convert it first")
mono = samples.mean(axis=1)
window, hop, size = grids["window"], signal["hop_samples"], signal["window_samples"]
padded = np.pad(mono, (size // 2, size // 2 + hop))
starts = np.arange(1 + len(mono) // hop) * hop
spectra = np.fft.rfft(np.stack([padded[start : start + size] * window for start in starts]).astype(np.float32)).T

level_db = 10 * np.log10(np.mean((mono - mono.mean()) ** 2) + 1e-20)
magnitude = grids["to_log"] @ np.abs(spectra) * 10 ** ((signal["mixture_level_db"] - level_db) / 20)
wanted = max(2, -(-len(starts) // settings["time_multiple"])) * settings["time_multiple"]
filled = np.pad(magnitude, ((0, 0), (0, wanted - len(starts))), mode="reflect")
masks = run("separator", log_magnitude=np.log(filled + 1e-10)[None, None].astype(np.float32), vectors=vector[None])

frames = np.fft.irfft((grids["to_linear"] @ masks[0, :, : len(starts)] * spectra).T) * window
stem, weight = np.zeros(len(padded) + size), np.zeros(len(padded) + size)
for start, frame in zip(starts, frames, strict=True):
    stem[start : start + size] += frame
    weight[start : start + size] += window**2
middle = slice(size // 2, size // 2 + len(mono))
soundfile.write(output, (stem[middle] / np.maximum(weight[middle], 1e-8)).astype(np.float32), rate_hz, subtype="FLOAT")
print(output)
