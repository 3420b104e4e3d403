"""Videos with their sound replaced, in the containers and codecs that people have: the picture untouched, the sound in
its place to the sample, as PyAV decodes it.
"""

import hashlib
import os
from fractions import Fraction

import av
import numpy as np
import pytest
from chromium import CHROMIUM, open_browser

from trisep.errors import MediaError
from trisep.media.audio import read_audio, write_audio
from trisep.media.probe import probe
from trisep.media.remux import replace_audio, video_form
from trisep.types import Audio

CASES = {
    "mp4": {"name": "a.mp4"},
    "mov rotated": {"name": "a.mov", "rotation": 90},
    "mkv": {"name": "a.mkv"},
    "webm": {"name": "a.webm", "video_codec": "libvpx-vp9", "audio_codec": "libopus"},
    "avi": {"name": "a.avi", "video_codec": "mpeg4", "audio_codec": "libmp3lame", "frame_seconds": 0.1},
    "ts": {"name": "a.ts"},
    "variable frame rate": {"name": "a.mp4", "times": "variable"},
    "hevc, 10 bits": {"name": "a.mp4", "video_codec": "libx265", "pix_fmt": "yuv420p10le", "tag": "hvc1"},
    "av1": {"name": "a.mp4", "video_codec": "libsvtav1"},
    "sound starts 1.5 s late": {"name": "a.mp4", "start_seconds": 1.5},
    "sound starts 1.5 s late, mkv": {"name": "a.mkv", "start_seconds": 1.5},
    "picture longer than sound": {"name": "a.mp4", "seconds": 1.0},
    "5.1": {"name": "a.mp4", "num_channels": 6},
    "aspect": {"name": "a.mp4", "aspect": Fraction(4, 3)},
    "pcm in mov": {"name": "a.mov", "audio_codec": "pcm_s16le"},
    "picture starts late": {"name": "a.mp4", "delay_seconds": 0.5},
}
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


def make_video(folder, *, name, rotation=0, video_codec="libx264", audio_codec="aac", pix_fmt="yuv420p", times="even",
               start_seconds=0.0, seconds=3.0, num_channels=2, aspect=None, tag=None, delay_seconds=0.0,
               frame_seconds=1 / 25):  # fmt: skip
    """Three seconds of moving noise with sound; returns the path."""
    rng = np.random.default_rng(7)
    gaps = rng.choice([0.02, 0.04, 0.1], 75) if times == "variable" else np.full(75, frame_seconds)
    stamps = delay_seconds + np.concatenate([[0.0], np.cumsum(gaps)[:-1]])
    rate = 48000
    sound = rng.normal(0, 0.1, (num_channels, round(seconds * rate))).astype(np.float32)
    with av.open(str(folder / name), "w") as container:
        picture = container.add_stream(video_codec, rate=25 if frame_seconds == 1 / 25 else 10)
        picture.height, picture.width, picture.pix_fmt = 96, 128, pix_fmt
        if rotation:
            picture.set_display_rotation(rotation)
        if aspect:
            picture.codec_context.sample_aspect_ratio = aspect
        if tag:
            picture.codec_context.codec_tag = tag
        if name[-4:] != ".avi":
            picture.codec_context.time_base = Fraction(1, 1000)
        picture.codec_context.gop_size = 12
        voice = container.add_stream(audio_codec, rate=rate, layout=LAYOUTS[num_channels])
        container.metadata["title"] = "A title"
        for stamp in stamps:
            pixels = np.kron(rng.integers(0, 255, (6, 8, 3)), np.ones((16, 16, 1))).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            base = Fraction(1, 10) if name[-4:] == ".avi" else Fraction(1, 1000)
            frame.pts, frame.time_base = round(stamp / base), base
            container.mux(picture.encode(frame))
        container.mux(picture.encode())
        for begin in range(0, sound.shape[1], 1024):
            block = np.ascontiguousarray(sound[:, begin : begin + 1024].T).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(block, format="flt", layout=LAYOUTS[num_channels])
            frame.sample_rate, frame.pts, frame.time_base = rate, begin + round(start_seconds * rate), Fraction(1, rate)
            container.mux(voice.encode(frame))
        container.mux(voice.encode())
    return folder / name


def picture_packets(path):
    """Hashes of the picture's packets."""
    with av.open(str(path)) as container:
        return [
            hashlib.sha256(bytes(packet)).hexdigest() for packet in container.demux(video=0) if packet.dts is not None
        ]


def picture_times(path):
    """Times of the frames, counted from the first."""
    with av.open(str(path)) as container:
        times = np.array([frame.time for frame in container.decode(video=0)])
    return times - times[0]


def heard_from_first_picture(path, stream=0):
    """The first channel as PyAV decodes it: its position, in samples from the first picture, and its samples."""
    with av.open(str(path)) as container:
        zero = next(container.decode(video=0)).time
    with av.open(str(path)) as container:
        rate, parts, first = None, [], None
        for frame in container.decode(audio=stream):
            rate = frame.sample_rate
            values = frame.to_ndarray()
            channels = frame.layout.nb_channels
            values = values if frame.format.is_planar else values.reshape(-1, channels).T
            values = values[0].astype(np.float64) / (32768 if values.dtype == np.int16 else 1)
            first = round((frame.time - zero) * rate) if first is None else first
            parts.append(values)
    return first, np.concatenate(parts)


def lag_samples(path, other, other_stream=0):
    """By how many samples the sound of `path` is late against that of `other`, each seen from its own first picture."""
    begin, sound = heard_from_first_picture(path)
    other_begin, other_sound = heard_from_first_picture(other, other_stream)
    size = 1 << 19
    spectrum = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(other_sound, size))
    correlation = np.fft.irfft(spectrum, size)
    shift = int(np.abs(correlation).argmax())
    shift = shift - size if shift > size // 2 else shift
    return shift + begin - other_begin


def replaced(source, folder, *, stream=0):
    """The video with its own sound upside down."""
    heard = read_audio(source, stream=stream)
    write_audio(folder / "new.wav", Audio(-heard.samples, heard.sample_rate_hz), subtype="wav_float32")
    form = video_form(source, stream=stream, num_channels=heard.num_channels)
    replace_audio(source, folder / "new.wav", folder / f"out{form.suffix}", stream=stream)
    return folder / f"out{form.suffix}"


@pytest.mark.parametrize("case", CASES)
def test_the_picture_is_copied_and_the_sound_is_in_its_place(tmp_path, case):
    source = make_video(tmp_path, **CASES[case])
    out = replaced(source, tmp_path)
    assert out.suffix == source.suffix
    assert picture_packets(out) == picture_packets(source)
    np.testing.assert_allclose(picture_times(out), picture_times(source), atol=1e-6)
    assert lag_samples(out, source) == 0
    # The last picture's own length is known to the encoder alone: what is read from a file is the time between two.
    assert probe(out).duration_seconds == pytest.approx(probe(source).duration_seconds, abs=0.03)
    shown, given = probe(out).video[0], probe(source).video[0]
    assert (shown.rotation_degrees, shown.width) == (given.rotation_degrees, given.width)
    with av.open(str(out)) as new, av.open(str(source)) as old:
        assert new.streams.video[0].sample_aspect_ratio == old.streams.video[0].sample_aspect_ratio
        assert new.streams.video[0].codec_context.pix_fmt == old.streams.video[0].codec_context.pix_fmt
        if CASES[case].get("tag"):
            assert new.streams.video[0].codec_context.codec_tag == CASES[case]["tag"]
        assert new.streams.audio[0].codec_context.layout.nb_channels == CASES[case].get("num_channels", 2)
        # An AVI file keeps its title, but PyAV does not write it.
        assert out.suffix in (".avi", ".ts") or new.metadata.get("title", new.metadata.get("TITLE")) == "A title"


def matroska(folder, name="full.mkv", subtitles="subrip"):
    """A video with two tracks of sound, silence and noise, subtitles, a font and two chapters."""
    picture_only = make_video(folder, name="picture.mkv" if name.endswith("mkv") else "picture.mp4")
    rate, path = 48000, folder / name
    noise = np.random.default_rng(3).normal(0, 0.2, 3 * rate).astype(np.float32)
    with av.open(str(picture_only)) as source, av.open(str(path), "w") as container:
        picture = container.add_stream_from_template(source.streams.video[0])
        voices = [container.add_stream("aac", rate=rate, layout="mono") for _ in range(2)]
        for voice, language in zip(voices, ("eng", "fra"), strict=True):
            voice.metadata["language"] = language
        words = container.add_mux_stream(subtitles, time_base=Fraction(1, 1000))
        words.metadata["language"] = "deu"
        if name.endswith("mkv"):
            container.add_attachment("font.ttf", "application/x-truetype-font", b"letters")
        chapters = [(0, 1000, "one"), (1000, 3000, "two")]
        container.set_chapters(
            [
                {"id": number, "start": start, "end": end, "time_base": Fraction(1, 1000), "metadata": {"title": title}}
                for number, (start, end, title) in enumerate(chapters)
            ]
        )
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = picture
                container.mux(packet)
        for voice, sound in zip(voices, (np.zeros(3 * rate, np.float32), noise), strict=True):
            for begin in range(0, len(sound), 1024):
                frame = av.AudioFrame.from_ndarray(sound[None, begin : begin + 1024], format="fltp", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = rate, begin, Fraction(1, rate)
                container.mux(voice.encode(frame))
            container.mux(voice.encode())
        for start, text in ((500, b"hello"), (2000, b"there")):
            packet = av.Packet(text if subtitles == "subrip" else len(text).to_bytes(2, "big") + text)
            packet.stream, packet.pts, packet.dts, packet.duration = words, start, start, 400
            packet.time_base = Fraction(1, 1000)
            container.mux(packet)
    return path


def subtitles_of(path):
    """(time, text) of the subtitles."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(subtitles=0) if packet.size > 2]
        return [(round(float(packet.pts * packet.time_base), 3), bytes(packet)) for packet in packets]


@pytest.mark.parametrize(("name", "codec"), [("full.mkv", "subrip"), ("full.mp4", "mov_text")])
def test_subtitles_chapters_and_fonts_stay_and_one_track_of_sound_takes_the_place_of_all(tmp_path, name, codec):
    source = matroska(tmp_path, name, codec)
    out = replaced(source, tmp_path, stream=1)
    assert picture_packets(out) == picture_packets(source)
    assert subtitles_of(out) == subtitles_of(source) and len(subtitles_of(out)) == 2
    with av.open(str(out)) as container:
        assert [stream.metadata["language"] for stream in container.streams.audio] == ["fra"]
        assert container.streams.subtitles[0].metadata["language"] == "deu"
        titles = [(chapter["metadata"]["title"], float(chapter["start"] * chapter["time_base"]))
                  for chapter in container.chapters()]  # fmt: skip
        assert titles == [("one", 0.0), ("two", 1.0)]
        if name.endswith("mkv"):
            assert [stream.data for stream in container.streams.attachments] == [b"letters"]
    assert np.sqrt(np.mean(read_audio(out).samples ** 2)) == pytest.approx(
        0.2, rel=0.3
    )  # AAC takes its highest parts away
    assert lag_samples(out, source, other_stream=1) == 0
    assert probe(out).duration_seconds == pytest.approx(probe(source).duration_seconds, abs=0.03)
    assert video_form(source, num_channels=1).left_out == ("1 other track of sound",)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH (Debian: apt-get install chromium)")
def test_browsers_play_what_comes_back(tmp_path):
    outs = []
    for case in ("mp4", "webm"):
        (tmp_path / case).mkdir()
        outs.append(replaced(make_video(tmp_path / case, **CASES[case]), tmp_path / case))
    with open_browser(tmp_path / "browser") as page:
        for out in outs:
            page.go(out.as_uri())
            page.value("(() => { const v = document.querySelector('video'); v.muted = false; v.play(); })()")
            page.wait("document.querySelector('video').currentTime > 1")
            decoded = "[v => v.webkitVideoDecodedByteCount, v => v.webkitAudioDecodedByteCount]"
            assert min(page.value(f"{decoded}.map(f => f(document.querySelector('video')))")) > 1000, out.name
            assert page.value("document.querySelector('video').error") is None
            assert abs(page.value("document.querySelector('video').duration") - 3) < 0.1


def test_a_container_that_nobody_writes_becomes_matroska(make_media, tmp_path, chirp):
    source = make_media("a.flv", sounds=[(chirp(1, 44100), 44100)], levels=[20, 120], times_seconds=[0, 0.5])
    assert video_form(source, num_channels=1).suffix == ".mkv"
    hidden = source.rename(tmp_path / "film.bin")
    assert video_form(hidden, num_channels=1).suffix == ".mkv"


def test_gain_rate_and_bits_are_those_asked_for(make_media, tmp_path, chirp):
    source = make_media("a.mp4", levels=[10 * index for index in range(20)],
                        times_seconds=[index / 10 for index in range(20)])  # fmt: skip
    write_audio(tmp_path / "new.wav", Audio(4 * chirp(2, 50000, 2.0), 50000), subtype="wav_float32")
    replace_audio(source, tmp_path / "new.wav", tmp_path / "out.mp4", gain=0.25, bits_per_second=64000)
    heard = read_audio(tmp_path / "out.mp4")
    assert (heard.sample_rate_hz, heard.num_samples) == (48000, 96000)
    assert heard.samples.std() == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.audio[0].codec_context.bit_rate < 80000


def test_in_place_and_without_leftovers(make_media, tmp_path, chirp):
    path = make_media("a.mp4", levels=[10, 20], times_seconds=[0, 0.5])
    write_audio(tmp_path / "new.wav", Audio(chirp(1, 48000), 48000), subtype="wav_float32")
    replace_audio(path, tmp_path / "new.wav", path)
    assert len(probe(path).audio) == 1 and sorted(os.listdir(tmp_path)) == ["a.mp4", "new.wav"]


def test_what_cannot_be_is_refused(make_media, tmp_path, chirp):
    write_audio(tmp_path / "new.wav", Audio(chirp(1, 48000, 0.2), 48000), subtype="wav_float32")
    h264 = make_media("a.mp4", levels=[20], times_seconds=[0])
    with pytest.raises(MediaError, match="out.webm: cannot be written .a .webm file cannot hold h264 video.; use .mkv"):
        replace_audio(h264, tmp_path / "new.wav", tmp_path / "out.webm")
    song = make_media("a.m4a", sounds=[(chirp(1, 48000, 0.2), 48000)])
    with pytest.raises(MediaError, match="a.m4a: holds no picture to put a sound to; give a video"):
        video_form(song, num_channels=1)
    with pytest.raises(MediaError, match="AAC holds .* 6, 8 channels, this one has 7; choose wav"):
        video_form(h264, num_channels=7)
    assert sorted(os.listdir(tmp_path)) == ["a.m4a", "a.mp4", "new.wav"]
