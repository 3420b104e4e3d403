"""Reading and writing of sound, video and pictures. This package knows no spectrogram and no network.

probe.py          what a file holds: streams, rates, sizes, durations; every media file is opened for reading here
audio.py          sound out of any container, as a stream of blocks or as a whole, at any rate
audio_decoder.py  the packets of an audio stream → samples at their place in time; only audio.py imports it
audio_writer.py   sound into wav (RIFF, and RF64 above 4 GiB) and flac
sound_track.py    sound as FFmpeg encodes it: codecs, and the audio stream of a file that is being written
sound_form.py     the forms in which a finished sound can be written
level.py          the level of a sound
video.py          frames out of any container
video_writer.py   frames and sound into video files
remux.py          video files with their sound replaced
muxer.py          the files that FFmpeg writes
image.py          pictures and JPEG
tables.py         CSV tables that users give
files.py          hashes, JSON, and files that appear under their names only when they are complete

The names below are what the command line needs without importing FFmpeg.
"""

from typing import Literal

SoundFormat = Literal["wav", "flac", "mp3", "m4a", "opus", "ogg"]
"""m4a holds AAC; opus and ogg hold Opus, which stands at 48 kHz."""
SoundSubtype = Literal["float32", "int24", "int16"]
IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
MEDIA_SUFFIXES = frozenset(
    {".aac", ".avi", ".flac", ".m4a", ".mkv", ".mov", ".mp3", ".mp4", ".ogg", ".opus", ".wav", ".webm"}
)
FPS_RANGE = (0.01, 60.0)
"""Smallest and largest number of pictures per second that can be read from a video."""
