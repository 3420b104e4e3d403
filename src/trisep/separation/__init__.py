"""Separation: what a video sounds like where one listens to some of it, and where in the picture that is.

separator.py  the flow: a source and queries → stems, in memory or as files
infer.py      the inference chain, which evaluation, training and analyses use too: level, grid, padding, network, crop;
segments streaming.py  a source read twice, masks applied to its own samples, one segment in memory presence.py
whether a query is heard at all stems.py      names, levels, files and report of the stems batch.py      several inputs
in one command localize.py   where in the picture a query is

The words below are what the command line needs to know without torch.
"""

from typing import Literal

LocalizeBy = Literal["text", "audio", "caption"]
"""What is looked for in a picture: the words, the sound that they separate, or the latent caption of the centre frame.
"""
OutputFormat = Literal["wav", "flac"]
TEMPERATURE_RANGE = (0.0001, 100.0)
"""Of the softmax over regions: below, one region has everything, and soon numbers overflow; above, all regions have the
same.
"""
