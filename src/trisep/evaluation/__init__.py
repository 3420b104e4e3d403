"""Scoring a protocol's mixtures: what `evaluate` and `compare` are made of. Imported without torch, for the arguments'
sake.

arguments  what the two verbs can be told
sounds     the sources: read, cut, brought to their level
queries    what a model is asked for each of them
mixtures   one mixture: made, separated by every system, scored
journal    the table while it is being made
ranks      a list shared by the processes that torchrun started
table      what a finished table says
"""
