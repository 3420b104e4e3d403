"""Analyses of trained networks; each of them writes a table and a figure.

    probe.py       how much of the classes a linear classifier reads off the bottleneck (HFRA, Table 4)
    gap.py         how far apart sounds and pictures lie in the space of the queries (HFRA, Table 5)
    fusion.py      which classes gain by one evaluation over another (HFRA, Fig. 1)
    queries.py     whether the wording of a query matters (CLIPSep, Appendix G)
    bottleneck.py  the pooled bottlenecks, and an audio teacher's embeddings, of the clips of a store

This file imports nothing, so that importing the package does not load torch.
"""
