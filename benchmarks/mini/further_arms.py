"""The arms of the systems that came after the first eleven: other queries, other supervision, VAST's and its baselines.

Each begins with the miniature CLIPSep of `arms.py` and changes what its recipe changes. `vast-masks` is VAST's network
on masks alone, with [v, −v] tiled beside the bottleneck; `vast-plain-tile` differs from it in nothing but the tile.
"""

from dataclasses import replace
from typing import Any

from trisep.encoders import TRAINING_TEMPLATES
from trisep.losses.alignment import TeacherAlignedLoss, VASTLoss
from trisep.losses.co_separation import CoSeparationLoss
from trisep.losses.masks import MaskLoss
from trisep.losses.mixture_invariant import MixtureInvariantLoss, QueriedMixtureInvariantLoss
from trisep.losses.on_screen import OnScreenLoss
from trisep.models import audioscope, avsgs, clipsep, clipsep_middle, clipsep_nit, co_separation, hfra, pit, vast
from trisep.networks.audio_unet import UNetConfig
from trisep.recipes import Recipe
from trisep.recipes.co_separation import LITE_LABELS

_RATIO_L1 = MaskLoss(kind="ratio_l1", logarithmic_weight=False)
Queries = tuple[str, ...]


def further_recipes(small: Recipe, unet: UNetConfig, shape: dict[str, Any]) -> dict[str, tuple[Recipe, Queries, str]]:
    """The recipe, the queries it is scored with and the note of each arm, by name.

    `small` is the miniature CLIPSep, `unet` its audio network, `shape` its query's and its network's settings.
    """
    labels, blind = replace(small, supervision="labels"), replace(small, query="none", encoder="none")
    one_frame = replace(small, mixing=replace(small.mixing, num_frames=1))
    middle = clipsep_middle.Config(**{**shape, "unet": replace(unet, out_channels=1)})
    late = hfra.Config(**{**shape, "unet": replace(unet, bottleneck_width=384)}, fusion="late", teacher_dim=384)
    heard = replace(small, query="sound")
    return {
        "clipsep-middle": (replace(small, model=middle), ("text", "image"), ""),
        "hfra-late-aligned": (
            replace(one_frame, model=late, loss=TeacherAlignedLoss(), teacher="efficientat-mn04"),
            ("text", "image"),
            "teacher EfficientAT mn04, λ = 1",
        ),
        "mixit": (
            replace(blind, model=pit.Config(num_sources=4, unet=unet), loss=MixtureInvariantLoss()),
            ("text",),
            "four outputs; oracle order; asked with nothing",
        ),
        "mixit-queried": (
            replace(small, model=clipsep_nit.Config(**shape), loss=QueriedMixtureInvariantLoss()),
            ("text", "image"),
            "two query heads, two free ones",
        ),
        "audioscope": (
            replace(small, model=audioscope.Config(**shape), loss=OnScreenLoss()),
            ("text", "image"),
            "four sounds, summed by what the query shows",
        ),
        "sound-filter": (heard, ("sound", "text"), "trained on another stretch of the clip"),
        "kilgour": (
            replace(labels, query="sound_text", templates=TRAINING_TEMPLATES),
            ("sound", "text"),
            "labels; trained on random mixes of sound and label",
        ),
        **_of_regions(one_frame, unet, shape),
        **_of_boxes(one_frame, unet, shape),
    }


def _of_regions(one_frame: Recipe, unet: UNetConfig, shape: dict[str, Any]) -> dict[str, tuple[Recipe, Queries, str]]:
    """VAST's network and its baselines on the same regions, trained on masks alone (λ₂ = λ₃ = 0)."""
    decoder = replace(unet, normalization="channel", out_channels=1)
    start = vast.Config(**{**shape, "unet": decoder}, region_grid=4, chunk_regions=256)
    masks = VASTLoss(tri_modal_weight=0.0, audio_language_weight=0.0)
    regions = replace(one_frame, query="regions", model=start, loss=masks)
    late = clipsep.Config(**shape, reads_regions=True)
    asked = ("video", "text")
    return {
        "vast-masks": (regions, asked, "masks alone; [v, −v] tiled"),
        "vast-plain-tile": (replace(regions, model=replace(start, tiling="plain")), asked, "masks alone; v tiled"),
        "vast-av-mix": (replace(regions, model=replace(start, level="video")), asked, "masks alone; one mask a video"),
        "vast-sop-clip": (replace(regions, model=late, loss=_RATIO_L1), asked, "on `lite` in the place of CLIP"),
    }


def _of_boxes(one_frame: Recipe, unet: UNetConfig, shape: dict[str, Any]) -> dict[str, tuple[Recipe, Queries, str]]:
    """Co-Separation and AVSGS, on the boxes that `lite` found (`trisep embed --boxes lite --max-boxes 3`)."""
    decoder = replace(unet, out_channels=1)
    objects = co_separation.Config(num_labels=LITE_LABELS, object_channels=128, unet=decoder, image_width=16)
    graph = avsgs.Config(
        **{**shape, "unet": decoder}, num_labels=LITE_LABELS, num_boxes=6, graph_channels=128, image_width=16
    )
    two_frames = replace(one_frame, mixing=replace(one_frame.mixing, num_frames=2), query="boxes")
    loss = CoSeparationLoss(labels="any_order", orthogonality_weight=1.0)
    return {
        "co-separation": (
            replace(one_frame, query="cuts", model=objects, loss=CoSeparationLoss()),
            ("boxes",),
            "boxes by `lite`; image network of width 16, from scratch",
        ),
        "avsgs": (replace(two_frames, model=graph, loss=loss), ("boxes",), "boxes by `lite`: 6 in two frames"),
    }
