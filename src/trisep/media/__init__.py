"""Reading and writing sound, video and pictures. This package knows files and samples, and nothing of spectrograms or networks.

probe.py         what is in a file: streams, rates, sizes, durations; the one place that opens a media file for reading
audio.py         sound out of any container, as a bounded stream or as a whole
audio_writer.py  sound into wav and flac
wav.py           the bytes of a wav file (RIFF, and RF64 above 4 GiB)
video.py         frames out of any container
video_writer.py  video files, and video files with their sound replaced
image.py         pictures and JPEG
output.py        a file appears under its name only when it is complete
"""
