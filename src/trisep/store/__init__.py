"""The clip store: a folder of unlabelled clips, each of sound with time-stamped frames, and the code that fills it.

    prepare.py     the flow: a folder of videos → a store
    embed.py       the flow: the frames of a store → embeddings beside it
    captions.py    latent captions of the clips, as part of `embed`
    layout.py      the names of the files in a store, and its manifest
    index.py       where each clip lies in its shard, one JSON line per clip
    table.py       the same as a table that is mapped into memory
    inputs.py      which files of a folder become clips, which are duplicates, which are excluded
    ingest.py      one media file → clips, or the reason why it gives none
    write.py       clips → one shard
    shard_job.py   a slice of the inputs → one shard: the unit of work and of resuming
    pool.py        shards made by several processes
    cluster.py     shards made on a Ray cluster
    embeddings.py  the frames' embeddings and the clips' latent captions beside a shard
    read.py        `ClipStore`: random access to sounds, frames and embeddings
    stream.py      the same of a store that lies elsewhere, a window of clips at a time
    check.py       verification of every byte

A store looks like this:

    manifest.json                                   settings, counts, skipped inputs, the shards' SHA-256; written last
    index.jsonl                                     one line per clip: source, level, byte offsets
    index.arrow                                     the same as a table, made from the lines
    shards/shard-000000.tar                         uncompressed webdataset: KEY.000.jpg … KEY.json KEY.wav
    shards/shard-000000.lite.safetensors            one embedding per frame, written by `trisep embed`
    shards/shard-000000.lite.captions.safetensors   one latent caption per clip, written by `trisep embed --captions`

It holds no labels. The same input and settings give the same bytes, however many processes work and however often they
are killed.
"""
