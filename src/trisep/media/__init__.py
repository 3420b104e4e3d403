"""Reading and writing of sound, video and pictures. This package knows no spectrogram and no network.

probe.py          what a file holds: streams, rates, sizes, durations; every media file is opened for reading here
audio.py          sound out of any container, as a stream of blocks or as a whole, at any rate
audio_decoder.py  the packets of an audio stream → samples at their place in time; only audio.py imports it
audio_frames.py   the frames of its packets → float32
audio_writer.py   sound into wav (RIFF, and RF64 above 4 GiB) and flac
wav_header.py     what the header of a wav file declares
sound_track.py    sound as FFmpeg encodes it: codecs, and the audio stream of a file that is being written
sound_form.py     the forms in which a finished sound can be written
level.py          the level of a sound
downmix.py        several channels → one, where they cancel too
heard.py          what a network hears of a sound: no offset, no rumble
layouts.py        where channels are heard
bounds.py         the limits of what is decoded
video.py          frames out of any container
video_writer.py   frames and sound into video files
remux.py          video files with their sound replaced
muxer.py          the files that FFmpeg writes
image.py          pictures and JPEG
tables.py         CSV tables that users give
lock.py           one process at a time in a folder
files.py          hashes, JSON, and files that appear under their names only when they are complete

The names below are what the command line needs without importing FFmpeg.
"""

from typing import Literal

SoundFormat = Literal["wav", "flac", "mp3", "m4a", "opus", "ogg"]
"""m4a holds AAC; opus and ogg hold Opus, which stands at 48 kHz."""
SoundSubtype = Literal["float32", "int24", "int16"]
IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
VIDEO_SUFFIXES = tuple(
    ".mp4 .mkv .webm .mov .avi .m4v .mpg .mpeg .flv .3gp .3g2 .mts .m2ts .ts .vob .ogv .wmv .asf .mxf .nut".split()
)
"""Suffixes of videos; of two files of one name, data sets take the one that comes first here."""
SOUND_SUFFIXES = tuple(
    ".wav .flac .ogg .opus .m4a .mp3 .aac .m4b .mka .oga .weba .wv .w64 .rf64 .bwf .au .snd .aif .aiff .aifc .caf .ac3 "
    ".eac3 .dts .tta .spx .ape .mpc .tak .wma .amr .mp2 .voc .gsm .sph .shn .adts".split()
)
"""Suffixes of sounds, in the same order."""
MEDIA_SUFFIXES = frozenset((*VIDEO_SUFFIXES, *SOUND_SUFFIXES))
SIDECAR_SUFFIXES = IMAGE_SUFFIXES | frozenset(
    ".txt .md .rst .csv .tsv .json .jsonl .xml .yaml .yml .html .pdf .log .nfo .srt .vtt .ass .lrc .svg .cue .m3u "
    ".m3u8 .pls .py .sh .zip .tar .gz .npy .npz .safetensors .part .ytdl .tmp .sha256 .md5".split()
)
"""Suffixes of files that commonly lie beside sounds and videos; a file of any other suffix may be one, by its content.
"""
FPS_RANGE = (0.01, 60.0)
"""Smallest and largest number of pictures per second that can be read from a video."""
