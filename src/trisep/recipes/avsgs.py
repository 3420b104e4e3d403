"""AVSGS (Chatterjee et al., ICCV 2021): settings of paper and public command line, and a size for a CPU.

As in `co_separation.py`, the classes come from a detector and no label of a clip is read. Numbers are those that VAST
quotes (Tables 1 to 3).
"""

from dataclasses import replace

from trisep.losses.co_separation import CoSeparationLoss
from trisep.models.avsgs import Config
from trisep.recipes import Recipe, co_separation
from trisep.recipes.co_separation import LITE_LABELS


def avsgs() -> Recipe:
    """AVSGS on MUSIC: `trisep embed store --encoder clip-rn50 --boxes CSV --max-boxes 14`, for 42 boxes in three
    frames.

    Ours: CLIP's embeddings of what the boxes cut out are the nodes, in the place of a detector's features; all boxes of
    a video are connected; the orthogonality of its sub-graphs has weight 1; three frames, nearest to the middle of the
    crop. One rate and one drop, as in `co-separation`.
    """
    base = co_separation.co_separation()
    return replace(
        base,
        name="avsgs",
        citation="Chatterjee et al., Visual Scene Graphs for Audio Source Separation, ICCV 2021",
        encoder="clip-rn50",
        mixing=replace(base.mixing, num_frames=3),
        query="boxes",
        model=Config(),
        loss=CoSeparationLoss(labels="any_order", orthogonality_weight=1.0),
        training=replace(base.training, num_steps=50_000, batch_size=25),
        claims=(
            ("music solo sdr", 9.04),
            ("music duet sdr", 10.25),
            ("solos sdr", 9.20),
            ("audioset sdr", 5.28),
        ),
    )


def avsgs_avmini() -> Recipe:
    """AVSGS in a size that two CPU cores train in an hour, on the boxes that `lite` finds: 12 in three frames."""
    base, paper = co_separation.co_separation_avmini(), avsgs()
    return replace(
        base,
        name="avsgs-avmini",
        citation=paper.citation,
        mixing=replace(base.mixing, num_frames=3),
        query="boxes",
        model=Config(
            embedding_dim=384,
            num_labels=LITE_LABELS,
            num_boxes=12,
            graph_channels=128,
            unet=base.model.unet,
            image_width=16,
            normalize_query=True,
            query_scale=20.0,
        ),
        loss=paper.loss,
    )
