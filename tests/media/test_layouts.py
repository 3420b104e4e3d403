"""Where channels are heard: the masks of wav and flac files, from FFmpeg's names, and back through files."""

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from trisep.media.audio import read_audio, read_facts
from trisep.media.audio_writer import AudioSubtype, AudioWriter
from trisep.media.layouts import speaker_mask, speakers
from trisep.media.sound_form import SoundForm
from trisep.media.sound_track import AAC, OPUS

LAYOUTS = {"2.1": 0xB, "4.0": 0x107, "quad": 0x33, "5.1": 0x3F, "5.1(side)": 0x60F, "6.1": 0x70F, "7.1(wide)": 0xFF}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_masks_are_those_of_wav_files_and_survive_one(layout: str, tmp_path: Path) -> None:
    num_channels = len(speakers(layout))
    assert speaker_mask(layout, num_channels) == LAYOUTS[layout]
    format_ = {"sample_rate_hz": 8000, "num_channels": num_channels, "subtype": "wav_float32", "layout": layout}
    with AudioWriter(tmp_path / "a.wav", **format_) as writer:  # type: ignore[arg-type]
        writer.write(np.zeros((num_channels, 100), np.float32))
    assert read_facts(tmp_path / "a.wav", None).layout == layout
    SoundForm(subtype="int16").write(tmp_path / "b.wav", tmp_path / "a.wav")
    with av.open(str(tmp_path / "b.wav")) as container:
        assert container.streams.audio[0].codec_context.layout.name == layout


@pytest.mark.parametrize("subtype", ["flac_int24", "flac_int16"])
@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if len(speakers(layout)) <= 8])
def test_flac_keeps_them_too(layout: str, subtype: AudioSubtype, tmp_path: Path) -> None:
    num_channels = len(speakers(layout))
    samples = (
        np.zeros((num_channels, 5000), np.float32)
        + np.float32(2**-5) * np.arange(num_channels, dtype=np.float32)[:, None]
    )
    writer = AudioWriter(
        tmp_path / "a.flac", sample_rate_hz=8000, num_channels=num_channels, subtype=subtype, layout=layout
    )
    with writer:
        writer.write(samples)
    assert read_facts(tmp_path / "a.flac", None).layout == layout
    np.testing.assert_array_equal(read_audio(tmp_path / "a.flac").samples, samples)
    assert soundfile.info(tmp_path / "a.flac").frames == 5000
    assert b"xxx" not in (tmp_path / "a.flac").read_bytes()[:4096]


def test_a_layout_that_does_not_fit_says_nothing() -> None:
    assert speaker_mask("5.1", 5) == 0 and speaker_mask("nonsense", 2) == 0 and speaker_mask(None, 7) == 0
    assert speaker_mask(None, 6) == 0x3F and speaker_mask("22.2", 24) == 0


def test_codecs_take_a_layout_that_they_have_else_the_usual_one() -> None:
    assert AAC.layout_for("quad", 4) == "quad" and AAC.layout_for(None, 4) == "4.0"
    assert AAC.layout_for("5.1(side)", 6) == "5.1" and AAC.layout_for("stereo", 2) == "stereo"
    assert OPUS.layout_for("4.0", 4) == "quad"
