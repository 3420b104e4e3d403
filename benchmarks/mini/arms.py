"""The systems that the miniature benchmark trains: each paper's network, loss and supervision in one small size, all
else equal.
"""

from dataclasses import dataclass, replace

from further_arms import further_recipes

from trisep.losses.alignment import TeacherAlignedLoss
from trisep.losses.masks import MaskLoss
from trisep.losses.noise_invariant import NoiseInvariantLoss
from trisep.losses.permutation import PermutationInvariantLoss
from trisep.losses.semantic_grouping import SemanticGroupingLoss
from trisep.losses.waveform import WaveformLoss
from trisep.mixing.augmentation import AugmentationConfig
from trisep.models import clipsep_nit, hfra, labelsep, mp_net, pit, resunet_decouple, sgn, sound_of_pixels, wave_u_net
from trisep.networks.audio_unet import UNetConfig
from trisep.recipes import Recipe, recipe

NUM_LABELS = 154
"""Different labels in avmini's manifest, for LabelSep and SGN: those of all splits, which are numbered together."""
_UNET = UNetConfig(base_width=16, max_width=128, upsampling="transposed", out_channels=32)
_SHAPE = {"embedding_dim": 384, "unet": _UNET, "normalize_query": True, "query_scale": 20.0}
_HFRA_SHAPE = {**_SHAPE, "unet": replace(_UNET, bottleneck_width=384)}
"""A bottleneck as wide as the encoder's space, as the paper has it: otherwise there is no gap between the two to
measure.
"""
_MAGNITUDE_L1 = MaskLoss(kind="magnitude_l1")
_WAVE_U_NET = wave_u_net.WaveUNetConfig(num_levels=9, extra_filters=6)
_RESUNET = resunet_decouple.ResUNetConfig(widths=(4, 8, 16, 32, 64), num_blocks=1, num_inner=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """One row of the comparison."""

    recipe: Recipe
    queries: tuple[str, ...] = ("text", "image")
    """What it can be asked with when it is scored."""
    note: str = ""
    """What a reader of the table has to know."""


def arms(num_steps: int, seed: int, *, batch_size: int | None = None, precision: str = "") -> dict[str, Arm]:
    """All rows: the same clips, mixtures, optimiser and number of steps; what differs is the network, the loss, and
    what is asked with. A batch or a precision of None or nothing is that of `clipsep-avmini`; a batch is validated on
    as many mixtures.
    """
    start = recipe("clipsep-avmini")
    if batch_size:
        start = replace(
            start, training=replace(start.training, batch_size=batch_size, num_validation_mixtures=batch_size)
        )
    if precision:
        start = replace(start, training=replace(start.training, precision=precision))  # type: ignore[arg-type]
    small = replace(
        start,
        signal=replace(start.signal, clip_samples=32767),
        mixing=replace(
            start.mixing,
            source_gain_db=(0.0, 0.0),
            mixture_gain_db=(0.0, 0.0),
            num_absent_queries=0,
            interference_probability=0.0,
        ),
        augmentation=AugmentationConfig(),
        model=replace(start.model, unet=_UNET),  # type: ignore[type-var]
        loss=MaskLoss(),
        optimizer=replace(start.optimizer, warmup_steps=min(50, max(1, num_steps // 6))),
        training=replace(
            start.training,
            num_steps=num_steps,
            seed=seed,
            ema_decay=0.99,
            validation_steps=num_steps,
            checkpoint_steps=50,
        ),
    )
    one_frame = replace(small, mixing=replace(small.mixing, num_frames=1))
    labels = replace(small, supervision="labels")
    blind = replace(small, query="none", encoder="none")
    aligned = {"loss": TeacherAlignedLoss(), "teacher": "efficientat-mn04"}
    return {
        "clipsep": Arm(recipe=small),
        "clipsep-nit": Arm(recipe=replace(small, model=clipsep_nit.Config(**_SHAPE), loss=NoiseInvariantLoss())),
        "clipsep-text": Arm(recipe=replace(labels, query="text"), note="labels; with `lite` the same as BERTSep"),
        "clipsep-hybrid": Arm(recipe=replace(labels, query="hybrid"), note="labels"),
        "labelsep": Arm(
            recipe=replace(
                labels, query="label", encoder="none", model=labelsep.Config(num_labels=NUM_LABELS, unet=_UNET)
            ),
            queries=("text",),
            note="labels; asked with the label",
        ),
        "pit": Arm(
            recipe=replace(blind, model=pit.Config(unet=_UNET), loss=PermutationInvariantLoss()),
            queries=("text",),
            note="oracle order; asked with nothing",
        ),
        "sound-of-pixels": Arm(
            recipe=replace(
                one_frame, query="frames", encoder="none", model=sound_of_pixels.Config(unet=_UNET, image_width=16)
            ),
            queries=("image",),
            note="image network of width 16, from scratch",
        ),
        "hfra-middle": Arm(
            recipe=replace(one_frame, model=hfra.Config(**_HFRA_SHAPE, fusion="middle"), loss=_MAGNITUDE_L1)
        ),
        "hfra-late": Arm(
            recipe=replace(one_frame, model=hfra.Config(**_HFRA_SHAPE, fusion="late"), loss=_MAGNITUDE_L1)
        ),
        "hfra-hierarchical": Arm(recipe=replace(one_frame, model=hfra.Config(**_HFRA_SHAPE), loss=_MAGNITUDE_L1)),
        "hfra": Arm(
            recipe=replace(one_frame, model=hfra.Config(**_HFRA_SHAPE, teacher_dim=384), **aligned),
            note="teacher EfficientAT mn04, λ = 1",
        ),
        "wave-u-net": Arm(
            recipe=replace(
                blind,
                model=wave_u_net.Config(unet=_WAVE_U_NET),
                loss=WaveformLoss(kind="squared"),
                training=replace(blind.training, precision="fp32"),
            ),
            queries=("text",),
            note="9 levels; oracle order; asked with nothing",
        ),
        "wave-u-net-queried": Arm(
            recipe=replace(
                small,
                model=wave_u_net.Config(unet=_WAVE_U_NET, embedding_dim=384, normalize_query=True, query_scale=20.0),
                loss=WaveformLoss(kind="squared"),
                training=replace(small.training, precision="fp32"),
            ),
            note="9 levels",
        ),
        "resunet-decouple": Arm(
            recipe=replace(
                blind,
                model=resunet_decouple.Config(unet=_RESUNET),
                loss=WaveformLoss(kind="absolute"),
                training=replace(blind.training, precision="fp32"),
            ),
            queries=("text",),
            note="one block a level; oracle order; asked with nothing",
        ),
        "mp-net": Arm(
            recipe=replace(one_frame, query="frames", encoder="none", model=mp_net.Config(unet=_UNET, image_width=16)),
            queries=("image",),
            note="image network of width 16, from scratch",
        ),
        "sgn": Arm(
            recipe=replace(
                labels,
                query="label",
                encoder="none",
                model=sgn.Config(num_labels=NUM_LABELS, token_dim=64, num_layers=2, num_heads=4, unet=_UNET),
                loss=SemanticGroupingLoss(),
            ),
            queries=("text",),
            note="labels; asked with the label",
        ),
        **{
            name: Arm(recipe=changed, queries=queries, note=note)
            for name, (changed, queries, note) in further_recipes(small, _UNET, _SHAPE).items()
        },
    }
