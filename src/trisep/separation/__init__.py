"""Separating a video by queries: the sound of each query, the rest, and where in the picture a query is.

    separator.py  the flow: a source and queries → stems, in memory or as files
    infer.py      the inference chain of separation, evaluation, validation and analyses: level, grid, network, crop
    precision.py  what numbers a network computes in
    source.py     the sound that is separated, read block by block
    streaming.py  a source read twice, masks applied to its own samples, one segment in memory
    ahead.py      the next segment is computed while one is applied and written
    examples.py   a sound as a query
    options.py    how a sound is separated, what files are written
    owner.py      whose an output folder is
    elsewhere.py  a batch that other processes do
    presence.py   whether a query is present in the mixture at all: its masks, and what an audio tower hears
    stems.py      names, levels, files and report of the stems
    batch.py      several inputs in one command, and what a person is told of the results
    localize.py   where in the picture a query is

The names below are what the command line needs without importing torch.
"""

from typing import Literal

LocalizeBy = Literal["text", "audio", "caption"]
"""What is compared with the picture: the words, the sound that they separate, or the caption of the centre frame."""
Precision = Literal["auto", "fp32", "bf16"]
"""Numbers that a network computes in; auto is bf16 where that is faster (`precision.bfloat16_pays`), else fp32."""
TEMPERATURE_RANGE = (0.0001, 100.0)
"""Range of the temperature of the softmax over regions: below it numbers overflow, above it all regions are alike."""
