"""Every form of a sound comes back as it was, in its place; what does not fit is told beforehand."""

import av
import numpy as np
import pytest
import soundfile

from trisep.errors import ConfigError, MediaError
from trisep.media.audio import read_audio, write_audio
from trisep.media.sound_form import SoundForm, decibels, gain_to_full_scale
from trisep.types import Audio


def decoded(path):
    """Samples and rate as FFmpeg decodes them."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        parts = []
        for frame in container.decode(stream):
            values = frame.to_ndarray().astype(np.float64)
            if not frame.format.is_planar:
                values = values.reshape(-1, frame.layout.nb_channels).T
            parts.append(values)
        return np.concatenate(parts, axis=1), stream.codec_context.sample_rate, stream.codec_context.name


@pytest.mark.parametrize(("format", "codec"), [("mp3", "mp3"), ("m4a", "aac"), ("opus", "opus"), ("ogg", "opus")])
@pytest.mark.parametrize("num_channels", [1, 2])
def test_lossy_sounds_keep_their_place_and_length(tmp_path, chirp, format, codec, num_channels):
    sound = chirp(num_channels, 48000, 1.3)
    write_audio(tmp_path / "a.wav", Audio(sound, 48000), subtype="wav_float32")
    SoundForm(format=format).write(tmp_path / f"a.{format}", tmp_path / "a.wav", gain=0.5)
    heard, rate, name = decoded(tmp_path / f"a.{format}")
    assert (rate, name.startswith(codec) or name.endswith(codec)) == (48000, True)
    # FFmpeg hands out the whole of the last block of AAC, whose end the container declares.
    assert heard.shape == sound.shape or format == "m4a"
    assert read_audio(tmp_path / f"a.{format}").samples.shape == sound.shape
    heard = heard[:, : sound.shape[1]]
    for shift in (-1, 1):
        assert np.abs(heard[0] - 0.5 * sound[0]).std() < np.abs(np.roll(heard[0], shift) - 0.5 * sound[0]).std()
    assert np.corrcoef(heard[0], sound[0])[0, 1] > 0.98
    # LAME itself scales by 0.95.
    assert heard.std() == pytest.approx(0.5 * sound.std(), rel=0.06)


def test_a_bit_rate_makes_the_file_smaller(tmp_path, chirp):
    write_audio(tmp_path / "a.wav", Audio(chirp(2, 48000, 2.0), 48000), subtype="wav_float32")
    sizes = []
    for bits_per_second in (32000, 256000):
        SoundForm(format="mp3", bits_per_second=bits_per_second).write(tmp_path / "a.mp3", tmp_path / "a.wav")
        sizes.append((tmp_path / "a.mp3").stat().st_size)
    assert sizes[0] < 10000 < 50000 < sizes[1]


def test_opus_stands_at_48_khz(tmp_path, chirp):
    write_audio(tmp_path / "a.wav", Audio(chirp(1, 44100, 1.0), 44100), subtype="wav_float32")
    SoundForm(format="opus").require(sample_rate_hz=44100, num_channels=1)
    SoundForm(format="opus").write(tmp_path / "a.opus", tmp_path / "a.wav")
    heard, rate, _ = decoded(tmp_path / "a.opus")
    assert rate == 48000 and abs(heard.shape[1] - 48000) <= 1


@pytest.mark.parametrize(
    ("form", "name", "bits"),
    [(SoundForm(subtype="int16"), "wav", 16), (SoundForm(subtype="int24"), "wav", 24), (SoundForm(), "wav", 0),
     (SoundForm(format="flac"), "flac", 24), (SoundForm(format="flac", subtype="int16"), "flac", 16)],
)  # fmt: skip
def test_lossless_sounds_are_exact_to_their_last_bit(tmp_path, chirp, form, name, bits):
    sound = chirp(2, 8000)
    write_audio(tmp_path / "a.wav", Audio(sound, 8000), subtype="wav_float32")
    form.write(tmp_path / f"b.{name}", tmp_path / "a.wav")
    heard, _ = soundfile.read(tmp_path / f"b.{name}", dtype="float64", always_2d=True)
    assert soundfile.info(tmp_path / f"b.{name}").subtype == (f"PCM_{bits}" if bits else "FLOAT")
    assert form.keeps_everything == (bits == 0) and not form.is_lossy
    assert np.abs(heard.T - sound).max() <= (0.5 * 2.0 ** (1 - bits) if bits else 0.0)


def test_what_does_not_fit_is_refused_before_anything_is_written(unchecked_shapes):
    for form, rate, num_channels, message in (
        (SoundForm(format="mp3"), 96000, 2, "mp3 holds usual rates from 8000 to 48000 Hz, this sound has 96000 Hz"),
        (SoundForm(format="mp3"), 48000, 6, "MP3 holds sounds of 1, 2 channels, this one has 6; choose wav"),
        (SoundForm(format="m4a"), 50000, 2, "this sound has 50000 Hz; choose wav, flac or opus"),
        (SoundForm(format="opus"), 48000, 9, "this one has 9"),
        (SoundForm(format="flac"), 48000, 9, "flac holds at most 8 channels, this sound has 9; choose wav"),
    ):
        with pytest.raises(MediaError, match=message):
            form.require(sample_rate_hz=rate, num_channels=num_channels)
    SoundForm().require(sample_rate_hz=50000, num_channels=64)
    for choices, message in (
        ({"format": "aiff"}, "format must be one of wav, flac"),
        ({"format": "mp3", "subtype": "int16"}, "subtype int16 does not fit mp3"),
        ({"format": "flac", "subtype": "float32"}, "subtype float32 does not fit flac: wav holds float32"),
        ({"format": "mp3", "bits_per_second": 100}, "the bit rate must be 6k to 3072k bits per second, not 100"),
    ):
        with pytest.raises(ConfigError, match=message):
            SoundForm(**choices)


def test_gains():
    assert gain_to_full_scale(0.0) == gain_to_full_scale(0.5) == 1.0
    assert gain_to_full_scale(2.0) == pytest.approx(0.5, abs=1e-6)
    assert decibels(0.1) == pytest.approx(-20)
