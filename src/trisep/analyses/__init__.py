"""What is learned by looking into a network: each analysis ends in a table and a figure. Imported without torch.

probe       how much of the classes a linear classifier reads off the bottleneck (HFRA, Table 4)
gap         how far apart sounds and pictures lie in the space of the queries (HFRA, Table 5)
fusion      which classes gain by one evaluation over another (HFRA, Fig. 1)
queries     whether the wording of a query matters (CLIPSep, Appendix G)
bottleneck  what the networks, and the audio teachers, make of the clips of a store
"""
