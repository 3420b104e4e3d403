"""HFRA (Hu et al., BMVC 2025): hierarchical fusion with alignment to an audio teacher, ablations, and a size for a CPU.

The ablations are those of Table 6. Numbers are BSS Eval's SDR, SIR and SAR in dB (Tables 1 to 3), and the measures of
the bottleneck in Tables 4 and 5.
"""

from dataclasses import replace

from trisep.losses.alignment import TeacherAlignedLoss
from trisep.losses.masks import MaskLoss
from trisep.mixing.augmentation import AugmentationConfig
from trisep.mixing.mixture import MixingConfig
from trisep.models.hfra import Config
from trisep.networks.audio_unet import UNetConfig
from trisep.recipes import OptimizerConfig, Recipe, TrainingConfig, clipsep
from trisep.types import SignalSettings


def hfra() -> Recipe:
    """Hierarchical fusion, aligned with CLAP (section 4.1).

    Another teacher: `--set teacher=efficientat-mn04 --set model.teacher_dim=384`, or our own audio tower, which is part
    of the package: `--set teacher=lite --set model.teacher_dim=256`.

    Ours, since the paper gives none: Adam, λ = 1, source gains of 0 dB, and 1500 steps an epoch. That is the 483 videos
    a hundred times over, as in Sound of Pixels' code; the 60th epoch of 100 is step 90 000. Our deviations: the paper
    resamples the spectrogram of 5 s to 256 frames; here a clip is 65 535 samples (5.64 s), which has 256 frames as it
    is. The frame is the one nearest to the middle of the random crop; in the paper it is any frame of the crop.
    """
    return Recipe(
        name="hfra",
        citation="Hu et al., Audio-Visual Separation with Hierarchical Fusion and Representation Alignment, BMVC 2025",
        supervision="none",
        encoder="clip-vit-b32",
        signal=SignalSettings(sample_rate_hz=11625, mixture_level_db=None),
        mixing=MixingConfig(num_sources=2, num_frames=1, source_gain_db=(0.0, 0.0)),
        model=Config(teacher_dim=512),
        loss=TeacherAlignedLoss(),
        teacher="clap",
        optimizer=OptimizerConfig(learning_rate=1e-4, decay="step", decay_steps=90_000, final_factor=0.1),
        training=TrainingConfig(num_steps=150_000, batch_size=32, checkpoint_steps=1000, validation_steps=7500),
        protocol="hfra",
        claims=(
            ("sdr", 6.72),
            ("sir", 12.60),
            ("sar", 10.21),
            ("music-21 sdr", 8.03),
            ("vggsound sdr", 1.97),
            ("probe accuracy", 58.82),
            ("modality gap", 0.976),
        ),
    )


def hfra_music21() -> Recipe:
    """Hierarchical fusion, aligned, on MUSIC-21 (Table 2); ours: 2600 steps an epoch, 831 videos a hundred times."""
    whole = hfra()
    return replace(
        whole,
        name="hfra-music21",
        optimizer=replace(whole.optimizer, decay_steps=156_000),
        training=replace(whole.training, num_steps=260_000),
        claims=(("sdr", 8.03), ("sir", 13.92), ("sar", 11.36)),
    )


def hfra_vggsound() -> Recipe:
    """Hierarchical fusion, aligned, on VGGSound (Table 3), whose clips of 10 s are taken whole.

    Ours: a hop of 454 samples, at which 10 s are 256 frames, in the place of resampling them; 4150 steps an epoch, each
    of the 132 760 videos once.
    """
    whole = hfra()
    return replace(
        whole,
        name="hfra-vggsound",
        signal=replace(whole.signal, hop_samples=454, clip_samples=116_223),
        optimizer=replace(whole.optimizer, decay_steps=249_000),
        training=replace(whole.training, num_steps=415_000),
        claims=(("sdr", 1.97), ("sir", 8.96), ("sar", 9.62)),
    )


def hfra_hierarchical() -> Recipe:
    """Hierarchical fusion without alignment (Eq. 5)."""
    claims = (
        ("sdr", 6.65),
        ("sir", 12.39),
        ("sar", 10.11),
        ("music-21 sdr", 7.72),
        ("probe accuracy", 49.58),
        ("modality gap", 1.171),
    )
    loss = MaskLoss(kind="magnitude_l1")
    return replace(hfra(), name="hfra-hierarchical", model=Config(), loss=loss, teacher=None, claims=claims)


def hfra_middle() -> Recipe:
    """Middle fusion alone (Eq. 1): the paper's "CLIPSep (Middle Fusion)"."""
    claims = (("sdr", 5.57), ("sir", 12.99), ("sar", 8.60), ("music-21 sdr", 7.36), ("vggsound sdr", 1.16))
    return replace(hfra_hierarchical(), name="hfra-middle", model=Config(fusion="middle"), claims=claims)


def hfra_late() -> Recipe:
    """Late fusion alone (Eq. 2): the paper's "CLIPSep (Late Fusion)"."""
    claims = (("sdr", 5.86), ("sir", 11.64), ("sar", 9.72), ("music-21 sdr", 7.27), ("vggsound sdr", 0.90))
    return replace(hfra_hierarchical(), name="hfra-late", model=Config(fusion="late"), claims=claims)


def hfra_late_aligned() -> Recipe:
    """Late fusion, aligned with CLAP."""
    claims = (("sdr", 6.07), ("sir", 12.10), ("sar", 9.73))
    return replace(hfra(), name="hfra-late-aligned", model=Config(fusion="late", teacher_dim=512), claims=claims)


def hfra_avmini() -> Recipe:
    """The recipe of the shipped model `unlabelled`: hierarchical fusion with the `lite` encoder, pictures and sounds.

    It differs from `clipsep-avmini` in network and loss, crops of 2 s, more augmentation, and no absent queries. The
    query also modulates the decoder, maps of the encoder pass residual blocks, and the loss is the estimates' error in
    dB. It takes one CPU core an hour and a half to three hours.
    """
    base = clipsep.clipsep_avmini()
    residual_levels = tuple(range(7))
    unet = UNetConfig(
        base_width=32, max_width=256, upsampling="transposed", out_channels=32, residual_levels=residual_levels
    )
    return replace(
        base,
        name="hfra-avmini",
        citation=hfra().citation,
        signal=replace(base.signal, clip_samples=32767),
        mixing=replace(
            base.mixing,
            source_gain_db=(-5.0, 5.0),
            mixture_gain_db=(-2.0, 2.0),
            num_absent_queries=0,
            interference_probability=0.15,
        ),
        augmentation=AugmentationConfig(
            room_probability=0.15,
            resample_probability=0.5,
            resample_semitones=2.5,
            equalizer_probability=0.4,
            codec_probability=0.1,
        ),
        model=Config(embedding_dim=384, unet=unet, normalize_query=True, query_scale=20.0, modulate=True),
        loss=MaskLoss(kind="log_error"),
        optimizer=replace(base.optimizer, learning_rate=1e-3, decay="linear"),
        training=replace(base.training, num_steps=2600, ema_decay=0.995, validation_steps=400),
    )


def hfra_words_avmini() -> Recipe:
    """The recipe of the shipped model `default`: `hfra-avmini` with words and pictures, on broad material.

    It needs a list of labels, `--labels`; columns group and domain balance the draws, and `wordings` gives each clip
    several names. Sounds of no query come from the store `--offscreen`.
    """
    base = hfra_avmini()
    return replace(
        base,
        name="hfra-words-avmini",
        supervision="labels",
        query="mixed",
        signal=replace(base.signal, clip_samples=65535),
        mixing=replace(
            base.mixing,
            distinct_labels=True,
            balance=0.5,
            within_domain=0.5,
            interference_probability=0.25,
        ),
        optimizer=replace(base.optimizer, learning_rate=5e-4, warmup_steps=200),
        training=replace(base.training, num_steps=7000, batch_size=8, ema_decay=0.998),
    )
