"""What a media file is said to hold, and what is said of a file that is none."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from trisep.errors import MediaError
from trisep.media.probe import open_media, probe


def test_describes_every_stream(make_media, chirp):
    path = make_media(
        "two.mkv",
        sounds=[(chirp(2, 48000), 48000), (chirp(1, 16000), 16000)],
        levels=[10] * 20,
        times_seconds=[index / 20 for index in range(20)],
    )
    info = probe(path)
    assert [(stream.index, stream.sample_rate_hz, stream.num_channels) for stream in info.audio] == [
        (0, 48000, 2),
        (1, 16000, 1),
    ]
    assert [(stream.width, stream.height, stream.rotation_degrees) for stream in info.video] == [(64, 48, 0)]
    assert info.container_format == "matroska,webm"
    assert info.duration_seconds == pytest.approx(1.0, abs=0.1)
    assert info.audio[0].duration_seconds == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    ("counterclockwise", "clockwise", "size"), [(-90, 90, (48, 64)), (90, 270, (48, 64)), (180, 180, (64, 48))]
)
def test_size_is_the_one_seen_after_rotation(make_media, counterclockwise, clockwise, size):
    info = probe(
        make_media(
            "phone.mp4", levels=[10] * 5, times_seconds=[index / 5 for index in range(5)], rotation=counterclockwise
        )
    )
    assert (info.video[0].width, info.video[0].height) == size
    assert info.video[0].rotation_degrees == clockwise


def test_cover_art_is_no_video(tmp_path, chirp):
    import av
    from PIL import Image

    cover = tmp_path / "cover.jpg"
    Image.new("RGB", (32, 32), "red").save(cover)
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w") as container, av.open(str(cover)) as picture:
        sound = container.add_stream("libmp3lame", rate=44100, layout="mono")
        art = container.add_stream_from_template(picture.streams.video[0])
        art.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(chirp(1, 44100), format="flt", layout="mono")
        frame.sample_rate = 44100
        for packet in picture.demux(picture.streams.video[0]):
            if packet.dts is not None:
                packet.stream = art
                container.mux(packet)
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1
    info = probe(path)
    assert info.video == ()
    assert len(info.audio) == 1


def test_duration_without_a_declared_one(tmp_path, make_media, chirp):
    # What a browser's recorder writes: Matroska to a pipe, which never learns its length.
    path = make_media("live.mkv", sounds=[(chirp(1, 48000, 2.0), 48000)], audio_codec="libopus", options={"live": "1"})
    with open_media(path) as container:
        assert container.duration is None
    assert probe(path).duration_seconds == pytest.approx(2.0, abs=0.05)


def _write(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("text.mp4", b"this is a text file, whatever it is called\n" * 40, "not a media file"),
        ("empty.mp4", b"", "empty"),
        ("list.mp4", b"ffconcat version 1.0\nfile other.wav\n", "neither sound nor video|cannot be read"),
        ("words.srt", b"1\n00:00:01,000 --> 00:00:02,000\nhello\n", "neither sound nor video"),
        ("noise.wav", bytes(range(256)) * 20, "cannot be read|neither sound nor video"),
    ],
)
def test_files_that_are_not_media(tmp_path, name, data, said):
    path = _write(tmp_path / name, data)
    with pytest.raises(MediaError, match=said) as caught:
        probe(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_folder_and_strange_names(tmp_path):
    with pytest.raises(MediaError, match="no such file"):
        probe(tmp_path / "absent.mp4")
    with pytest.raises(MediaError, match="^-: no such file; only INPUT of `trisep separate` may be"):
        probe(Path("-"))
    with pytest.raises(MediaError, match="folder"):
        probe(tmp_path)
    # A colon would be read as a protocol by FFmpeg.
    strange = tmp_path / "take 2: brücke %d.wav"
    soundfile.write(strange, np.zeros(800), 8000)
    assert probe(strange).audio[0].sample_rate_hz == 8000


def test_unreadable_file(tmp_path, monkeypatch):
    path = _write(tmp_path / "locked.mp4", b"x")
    monkeypatch.setattr("trisep.media.probe.os.access", lambda *_: False)
    with pytest.raises(MediaError, match="permission"):
        probe(path)
