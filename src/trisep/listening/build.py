"""`trisep listening-test build`: clips → one page that works from a local file, without a network, and the key to it.

The page holds opaque names, the names of the two sounds in alphabetical order, and the sound itself; which model made
it is written only in the key.
"""

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import soundfile

from trisep.errors import ConfigError, MediaError
from trisep.listening.clips import ListeningClip, clips_from_models, clips_from_table
from trisep.listening.key import KeyRow, write_key
from trisep.media.files import replacing_text, write_failure
from trisep.media.lock import locked
from trisep.types import Audio

PAGE = Path("page") / "index.html"
KEY = Path("key.csv")
_PLACEHOLDER = "__TEST_JSON__"
_PEAK = 0.89
"""Largest sample of a test whose gain had to be lowered: 1 dB below full scale."""


def make_test(
    out: Path,
    *,
    models: Sequence[str] = (),
    data: Path | None = None,
    protocol: str = "avmini",
    count: int = 10,
    samples: Path | None = None,
    seed: int = 0,
    device: str = "auto",
) -> str:
    """Make the page and the key below `out`, from models or from a table of clips (`samples`).

    The result is a text that says where they are.

    Args:
        out: folder for page/index.html and key.csv.
        models: names of models or checkpoints, each optionally followed by `=text` or `=image`; they separate mixtures
            of a protocol.
        data: the folder of the protocol's clips, which models need.
        protocol: name of the protocol.
        count: number of mixtures.
        samples: a table of existing clips, used instead of models.
        seed: seed of the mixtures, and of which of their two sounds is the target.
        device: the device that models compute on.

    Raises what `build_test` raises, and ConfigError when neither models with data nor samples are given.
    """
    if samples is None and data is None:
        raise ConfigError(
            "listening test: models separate the clips of a protocol; give the folder of its clips, or a table of "
            "samples"
        )
    with locked(out):
        if (out / KEY).exists():
            raise MediaError(
                f"{out / KEY}: is the key of an earlier test, which it would take away; choose another folder"
            )
        if samples is not None:
            clips = clips_from_table(samples)
        else:
            assert data is not None
            clips = list(clips_from_models(models, data, protocol_name=protocol, count=count, seed=seed, device=device))
        build_test(clips, out)
    page = out / PAGE
    return (
        f"{page}: {len(clips)} clips, {page.stat().st_size / 1e6:.1f} MB; open it in a browser, or send the folder to "
        "the raters\n"
        f"{out / KEY}: which model made which clip; keep it"
    )


def build_test(clips: Sequence[ListeningClip], out: Path) -> None:
    """Write `out`/page/index.html and `out`/key.csv.

    All clips are written as 16-bit FLAC with one gain for all, below 1 only if the loudest would clip: levels are part
    of what is judged, since a leak that is soft enough is inaudible. The paper does not mention levels.

    Raises:
        ConfigError: there are no clips.
        MediaError: a sound holds values that are not finite, or a file cannot be written.
    """
    if not clips:
        raise ConfigError("listening test: expected at least one clip, got none")
    peaks = [float(np.abs(clip.audio.samples).max(initial=0.0)) for clip in clips]
    for clip, peak in zip(clips, peaks, strict=True):
        if not np.isfinite(peak):
            raise MediaError(
                f"{clip.file}: the sound of '{clip.model}' holds values that are not finite numbers; separate it again"
            )
    gain = min(1.0, _PEAK / max(*peaks, _PEAK))
    sounds = [_flac(clip.audio, gain) for clip in clips]
    rows = [_key_row(clip, sound, position) for position, (clip, sound) in enumerate(zip(clips, sounds, strict=True))]
    try:
        (out / PAGE).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_failure(out, error) from error
    with replacing_text(out / PAGE) as file:
        file.write(_page(rows, sounds))
    # The key comes last: where there is one, the test is whole, and is not built again.
    write_key(out / KEY, rows)


def _flac(audio: Audio, gain: float) -> bytes:
    """Encode a sound as a FLAC file in memory."""
    buffer = io.BytesIO()
    soundfile.write(buffer, audio.samples.T * np.float32(gain), audio.sample_rate_hz, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def _key_row(clip: ListeningClip, sound: bytes, position: int) -> KeyRow:
    """Make the key's row of a clip.

    The clip's name is a hash of its sound and its place in the list, so that no two tests share a name.
    """
    sample = hashlib.sha256(f"{position}:".encode() + sound).hexdigest()[:12]
    return KeyRow(
        sample=sample,
        model=clip.model,
        query_kind=clip.query_kind,
        label_a=clip.label_a,
        label_b=clip.label_b,
        file=clip.file,
    )


def _page(rows: Sequence[KeyRow], sounds: Sequence[bytes]) -> str:
    """Return the page with its data; the clips are in the order of their opaque names."""
    samples = [
        {"id": row.sample, "names": sorted((row.label_a, row.label_b)), "sound": base64.b64encode(sound).decode()}
        for row, sound in sorted(zip(rows, sounds, strict=True), key=lambda pair: pair[0].sample)
    ]
    test_id = hashlib.sha256("".join(row.sample for row in rows).encode()).hexdigest()[:8]
    # A "<" in a name must not end the script element that holds the data.
    data = json.dumps({"id": test_id, "samples": samples}, ensure_ascii=False).replace("<", "\\u003c")
    template = resources.files("trisep.listening").joinpath("page.html").read_text(encoding="utf-8")
    return template.replace(_PLACEHOLDER, data)
