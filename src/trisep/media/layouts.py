"""Where the channels of a sound are heard: FFmpeg's names of layouts, and the speaker positions of wav files.

This is the one table of layouts, for wav files and for what FFmpeg encodes. It reads no file.
"""

import functools

import av

_SPEAKERS = (
    *("FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR"),
    *("TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR"),
)
"""Names of the speakers in the order of the bits of a wav file's channel mask."""
USUAL = {1: "mono", 2: "stereo", 4: "quad", 6: "5.1", 8: "7.1"}
"""The layout of sounds that name none, by number of channels; other numbers have none."""
ENCODED = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
"""What lossy codecs take so many channels for where they lack the layout of the sound."""


@functools.cache
def speakers(layout: str) -> tuple[str, ...]:
    """Return the names of the speakers of a layout, none for one that FFmpeg does not know."""
    try:
        return tuple(channel.name for channel in av.AudioLayout(layout).channels)
    except ValueError:
        return ()


def speaker_mask(layout: str | None, num_channels: int) -> int:
    """Return the channel mask of a wav file; 0 where the layout says nothing, or cannot be said."""
    names = speakers(layout or USUAL.get(num_channels, ""))
    if len(names) != num_channels or not set(names) <= set(_SPEAKERS):
        return 0
    return sum(1 << _SPEAKERS.index(name) for name in names)
