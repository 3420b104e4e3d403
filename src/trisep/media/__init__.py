"""Reading and writing of sound, video and pictures. This package knows no spectrogram and no network.

probe.py          what a file holds: streams, rates, sizes, durations; every media file is opened for reading here
audio.py          sound out of any container, as a stream of blocks or as a whole
audio_decoder.py  the packets of an audio stream → samples at their place in time; only audio.py imports it
audio_writer.py   sound into wav (RIFF, and RF64 above 4 GiB) and flac
level.py          the level of a sound
video.py          frames out of any container
video_writer.py   video files, and video files with their sound replaced
image.py          pictures and JPEG
tables.py         CSV tables that users give
files.py          hashes, JSON, and files that appear under their names only when they are complete
"""

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
MEDIA_SUFFIXES = frozenset(
    {".aac", ".avi", ".flac", ".m4a", ".mkv", ".mov", ".mp3", ".mp4", ".ogg", ".opus", ".wav", ".webm"}
)
FPS_RANGE = (0.01, 60.0)
"""Smallest and largest number of pictures per second that can be read from a video."""
