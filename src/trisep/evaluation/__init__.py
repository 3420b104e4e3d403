"""The evaluation of models and baselines on a protocol, and the comparison of two evaluations.

    run.py          the flow: a protocol's mixtures → separations → metrics → a table
    sounds.py       the sources of a mixture: read, cut, brought to their level
    queries.py      the query for each source, in the form that the model reads
    mixtures.py     one mixture: made, separated by every system, scored
    journal.py      the table while it is being written
    table.py        the averages of a finished table
    compare.py      two tables of the same mixtures: paired differences, tests, a figure
    distributed.py  one evaluation shared by the processes that torchrun started

This file imports nothing, so that importing the package does not load torch.
"""
