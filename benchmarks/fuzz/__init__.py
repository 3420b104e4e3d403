"""A seeded fuzz harness: hostile inputs for the public functions and commands, in worker processes with limits.

    python -m benchmarks.fuzz --seconds 40                      a short run over all kinds, as scripts/check does
    python -m benchmarks.fuzz --count media=10000 --keep found  a long one; inputs that fail are kept with their seed
    python -m benchmarks.fuzz --replay media:1:4711             one input again, in this process, with its traceback

    mutations.py   bytes, JSON values and words, made hostile
    worker.py      a process that tries input after input, and says how each ended
    campaign.py    starts workers, kills those that hang, counts, keeps what failed
    kinds/         one file a kind of input: its good examples, and what is tried with a mutant of them

An input is named by its kind, the seed and its number; the same name gives the same bytes.
"""
