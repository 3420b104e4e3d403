"""Sound out of every kind of file: scale, channels, rates, sections, holes, and damage."""

import tracemalloc

import numpy as np
import pytest
import soundfile
import soxr

from trisep.errors import MediaError
from trisep.media.audio import read_audio, stream_audio, write_audio
from trisep.types import Audio


@pytest.mark.parametrize(
    ("subtype", "tolerance"),
    [
        ("PCM_U8", 1 / 128),
        ("PCM_16", 1 / 32768),
        ("PCM_24", 2**-23),
        ("PCM_32", 2**-24),
        ("FLOAT", 0.0),
        ("DOUBLE", 2**-25),
    ],
)
def test_sample_formats_keep_their_scale(tmp_path, chirp, subtype, tolerance):
    samples = chirp(2, 44100, 0.2)
    soundfile.write(tmp_path / "a.wav", samples.T, 44100, subtype=subtype)
    audio = read_audio(tmp_path / "a.wav")
    assert audio.sample_rate_hz == 44100
    assert audio.samples.dtype == np.float32
    assert audio.samples.shape == samples.shape
    assert np.abs(audio.samples - samples).max() <= tolerance


def test_floats_beyond_full_scale_are_kept(tmp_path):
    loud = np.linspace(-3, 3, 1000, dtype=np.float32)
    soundfile.write(tmp_path / "loud.wav", loud, 16000, subtype="FLOAT")
    assert np.array_equal(read_audio(tmp_path / "loud.wav").samples[0], loud)


@pytest.mark.parametrize("num_channels", range(1, 9))
@pytest.mark.parametrize("rate", [8000, 96000])
def test_channels_and_rates(tmp_path, chirp, num_channels, rate):
    samples = chirp(num_channels, rate, 0.1)
    soundfile.write(tmp_path / "a.flac", samples.T, rate, subtype="PCM_24")
    audio = read_audio(tmp_path / "a.flac")
    assert audio.sample_rate_hz == rate
    assert np.abs(audio.samples - samples).max() <= 2**-22


@pytest.mark.parametrize("num_channels", [1, 2, 6, 8])
def test_planar_aac_of_every_layout_lands_in_its_place(make_media, chirp, num_channels):
    samples = chirp(num_channels, 48000, 0.5)
    audio = read_audio(make_media("a.mp4", sounds=[(samples, 48000)]))
    # The encoder's delay is gone and so is its padding at the end: the length is the original's.
    assert audio.samples.shape == samples.shape
    for row in range(num_channels):
        if num_channels in (6, 8) and row == 3:
            # The low-frequency channel passes no sweep.
            continue
        assert np.corrcoef(samples[row, 2000:20000], audio.samples[row, 2000:20000])[0, 1] > 0.95


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "aac"),
        ("a.mkv", "libopus"),
        ("a.ogg", "libopus"),
        ("a.mp3", "libmp3lame"),
        ("a.flac", "flac"),
        ("a.mov", "pcm_s24le"),
    ],
)
def test_a_section_equals_the_same_part_of_the_whole(make_media, chirp, name, codec):
    path = make_media(name, sounds=[(chirp(1, 48000, 5.0), 48000)], audio_codec=codec)
    whole = read_audio(path).samples
    assert whole.shape[1] == 240000
    part = read_audio(path, start_seconds=3.25, duration_seconds=0.5).samples
    assert part.shape == (1, 24000)
    assert np.abs(part - whole[:, 156000:180000]).max() < 1e-3
    assert read_audio(path, start_seconds=4.9).samples.shape == (1, 4800)
    assert read_audio(path, start_seconds=99.0).samples.shape == (1, 0)
    assert read_audio(path, start_seconds=1e300).samples.shape == (1, 0)
    assert read_audio(path, start_seconds=1.0, duration_seconds=0.0, sample_rate_hz=16000).samples.shape == (1, 0)


def test_streamed_resampling_equals_the_whole(tmp_path, chirp):
    samples = chirp(2, 44100, 1.5)
    soundfile.write(tmp_path / "a.wav", samples.T, 44100, subtype="FLOAT")
    blocks = list(stream_audio(tmp_path / "a.wav", sample_rate_hz=16000, mono=True, block_samples=1000))
    assert [block.shape for block in blocks] == [(1, 1000)] * 24
    assert np.abs(np.concatenate(blocks, axis=1)[0] - soxr.resample(samples.mean(axis=0), 44100, 16000)).max() < 1e-6


def test_blocks_are_equal_but_for_the_last(tmp_path):
    ramp = np.arange(2500, dtype=np.float32) / 2500
    soundfile.write(tmp_path / "a.wav", ramp, 8000, subtype="FLOAT")
    blocks = list(stream_audio(tmp_path / "a.wav", block_samples=1000))
    assert [block.shape[1] for block in blocks] == [1000, 1000, 500]
    assert np.array_equal(np.concatenate(blocks, axis=1)[0], ramp)


def test_second_stream(make_media, chirp):
    first, second = chirp(2, 48000), chirp(1, 16000)
    path = make_media("a.mka", sounds=[(first, 48000), (second, 16000)], audio_codec="flac")
    audio = read_audio(path, stream=1)
    assert (audio.sample_rate_hz, audio.num_channels) == (16000, 1)
    assert np.abs(audio.samples - second).max() < 1e-4
    with pytest.raises(MediaError, match="has 2 stream"):
        read_audio(path, stream=2)


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv", "late.ts"])
def test_sound_that_starts_later_than_the_picture_is_preceded_by_zeros(make_media, name):
    click = np.zeros((1, 48000), np.float32)
    click[0, 24000:] = 0.5 * np.sin(np.arange(24000) * 0.2)
    path = make_media(
        name,
        sounds=[(click, 48000)],
        start_seconds=0.5,
        levels=[10] * 20,
        times_seconds=[index / 10 for index in range(20)],
    )
    samples = read_audio(path).samples[0]
    onset = int(np.argmax(np.abs(samples) > 0.1))
    # Movie time scales round to a millisecond.
    assert onset == pytest.approx(48000, abs=100)
    assert np.abs(samples[:20000]).max() == 0.0


def test_a_hole_is_filled_and_what_follows_stays_in_place(make_media):
    sound = 0.5 * np.sin(np.arange(3 * 48000, dtype=np.float32) * 0.2)[None]
    whole = read_audio(make_media("whole.mkv", sounds=[(sound, 48000)], audio_codec="flac")).samples
    holed = read_audio(
        make_media("holed.mkv", sounds=[(sound, 48000)], audio_codec="flac", left_out=(1.0, 2.0))
    ).samples
    assert abs(holed.shape[1] - whole.shape[1]) <= 48
    assert np.abs(holed[0, 60000:90000]).max() == 0.0
    assert np.abs(holed[0, 120000:]).max() > 0.4


def test_a_hole_that_is_too_long_is_refused_and_takes_no_memory(make_media, monkeypatch):
    sound = 0.5 * np.sin(np.arange(3 * 48000, dtype=np.float32) * 0.2)[None]
    path = make_media("holed.mkv", sounds=[(sound, 48000)], audio_codec="flac", left_out=(1.0, 2.0))
    monkeypatch.setattr("trisep.media.audio_decoder.LONGEST_HOLE_SECONDS", 0.9)
    with pytest.raises(MediaError, match=r"holed.mkv: its sound pauses for 1 s at 1.. s, at most 0.9 s are filled"):
        read_audio(path)
    monkeypatch.setattr("trisep.media.audio_decoder.LONGEST_HOLE_SECONDS", 1.1)
    assert read_audio(path).num_samples > 140000


@pytest.mark.parametrize(
    ("rate_hz", "peak", "reason"),
    [
        (768_000, 9e9, None),
        (768_001, 0.5, "its sound has 768001 samples a second, expected from 50 to 768000"),
        (49, 0.5, "its sound has 49 samples a second, expected from 50 to 768000"),
        (50, 0.5, None),
        (8000, 3.4e38, r"the sound holds values beyond 1e\+10 times full scale"),
    ],
)
def test_rates_and_values_that_no_recording_has(tmp_path, rate_hz, peak, reason):
    write_audio(tmp_path / "a.wav", Audio(np.full((1, 2000), peak, np.float32), rate_hz), subtype="wav_float32")
    if reason is None:
        assert read_audio(tmp_path / "a.wav").num_samples == 2000
        return
    with pytest.raises(MediaError, match=f"a.wav: {reason}"):
        read_audio(tmp_path / "a.wav")


def test_video_without_sound(make_media):
    path = make_media("mute.mp4", levels=[10] * 5, times_seconds=[index / 5 for index in range(5)])
    with pytest.raises(MediaError, match="holds no sound"):
        read_audio(path)


def test_cut_off_files(make_media, chirp, tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, (1, 4 * 48000)).astype(np.float32)
    data = make_media("whole.mp4", sounds=[(noise, 48000)]).read_bytes()
    headless = tmp_path / "headless.mp4"
    headless.write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaError, match="cut off"):
        read_audio(headless)
    with pytest.raises(MediaError, match="cut off"):
        read_audio(headless, allow_truncated=True)

    data = make_media("fast.mp4", sounds=[(noise, 48000)], options={"movflags": "faststart"}).read_bytes()
    half = tmp_path / "half.mp4"
    half.write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaError, match=r"of 4\.00 s of sound cannot be decoded"):
        read_audio(half)
    assert 1.5 < read_audio(half, allow_truncated=True).duration_seconds < 2.5
    # A section from the intact part is fine.
    assert read_audio(half, duration_seconds=1.0).duration_seconds == 1.0


@pytest.mark.parametrize("name", ["cut.wav", "cut.mkv", "cut.flac"])
def test_cut_off_sound_in_other_containers(make_media, name):
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 4 * 48000)).astype(np.float32)
    path = make_media(name, sounds=[(noise, 48000)], audio_codec="pcm_s16le" if name.endswith("wav") else "flac")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match="cannot be decoded"):
        read_audio(path)
    assert 1.0 < read_audio(path, allow_truncated=True).duration_seconds < 3.0


def test_damage_in_the_middle(make_media):
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 4 * 48000)).astype(np.float32)
    path = make_media("a.flac", sounds=[(noise, 48000)], audio_codec="flac")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 10] = bytes(len(data) // 10)
    path.write_bytes(data)
    with pytest.raises(MediaError, match="damaged"):
        read_audio(path)
    assert read_audio(path, allow_truncated=True).duration_seconds == pytest.approx(4.0, abs=0.6)


def test_a_change_of_rate_is_said(make_media, chirp):
    # Two MP3 files, one after the other.
    first = make_media(
        "a.mp3", sounds=[(chirp(1, 44100), 44100)], audio_codec="libmp3lame", options={"write_xing": "0"}
    )
    second = make_media(
        "b.mp3", sounds=[(chirp(1, 32000), 32000)], audio_codec="libmp3lame", options={"write_xing": "0"}
    )
    first.write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(MediaError, match="sampling rate changes from 44100 Hz to 32000 Hz"):
        read_audio(first)


def test_values_that_are_not_numbers(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([0.0, np.nan, 0.0], np.float32), 8000, subtype="FLOAT")
    with pytest.raises(MediaError, match="not finite"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize(
    "arguments",
    [{"block_samples": 0}, {"start_seconds": -1.0}, {"stream": -1}, {"sample_rate_hz": 0}, {"duration_seconds": -1.0}],
)
def test_bad_arguments_at_once(tmp_path, arguments):
    with pytest.raises(ValueError, match="must"):
        stream_audio(tmp_path / "never_opened.wav", **arguments)


def _peak_bytes(path, seconds):
    rate = 16000
    soundfile.write(path, np.zeros((rate * seconds, 2), np.int16), rate, subtype="PCM_16")
    tracemalloc.start()
    try:
        assert (
            sum(block.shape[1] for block in stream_audio(path, sample_rate_hz=8000, block_samples=8000))
            == 8000 * seconds
        )
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_memory_does_not_grow_with_length(tmp_path):
    _peak_bytes(tmp_path / "first.wav", 1)
    short, long = _peak_bytes(tmp_path / "short.wav", 10), _peak_bytes(tmp_path / "long.wav", 60)
    # Held whole, the longer one would take 3.2 MB more.
    assert long < short + 300_000
