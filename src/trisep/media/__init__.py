"""Reading and writing sound, video and pictures. This package knows files and samples, and nothing of spectrograms or
networks.

probe.py         what is in a file: streams, rates, sizes, durations; the one place that opens a media file for reading
audio.py         sound out of any container, as a bounded stream or as a whole
audio_writer.py  sound into wav (RIFF, and RF64 above 4 GiB) and flac
level.py         how loud a sound is
video.py         frames out of any container
video_writer.py  video files, and video files with their sound replaced
image.py         pictures and JPEG
files.py         hashes, JSON, and files that appear under their names only when they are complete
"""

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
MEDIA_SUFFIXES = frozenset(
    {".aac", ".avi", ".flac", ".m4a", ".mkv", ".mov", ".mp3", ".mp4", ".ogg", ".opus", ".wav", ".webm"}
)
FPS_RANGE = (0.01, 60.0)
"""How many pictures of a second of video can be looked at."""
