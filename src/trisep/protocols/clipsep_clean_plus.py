"""`clipsep-clean+`: VGGSound-Clean+ (CLIPSep, section 4.2, Table 3): clean clips against the VGGSound test set.

Source: the public code. Pairs and scoring are those of `clipsep-music+`. The public lists are the 100 hand-picked clips
of VGGSound-Clean as targets and 5 322 VGGSound test clips as interferers, here the splits `target` and `interferer` of
one list of clips. The paper says the same in words, without the lists. Its rows for CLIPSep-NIT drop the noise heads,
or keep them with an oracle that picks the better head: here they are dropped.
"""

from dataclasses import replace

from trisep.protocols import clipsep_music_plus

PROTOCOL = replace(clipsep_music_plus.PROTOCOL, name="clipsep-clean+")
