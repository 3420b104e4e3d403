"""What is learned by looking into a network: each analysis ends in a table and a figure. Imported without torch.

probe       how much of the classes a linear classifier reads off the bottleneck (HFRA, Table 4)
gap         how far apart sounds and pictures lie in the space of the queries (HFRA, Table 5)
fusion      which classes gain by one evaluation over another (HFRA, Fig. 1)
queries     whether the wording of a query matters (CLIPSep, Appendix G)
bottleneck  what the networks, and the audio teachers, make of the clips of a store
"""

from trisep.arguments.analysis import AnalyzeArguments, FusionArguments, GapArguments, ProbeArguments


def run(arguments: AnalyzeArguments) -> int:
    """The verb: run the analysis that is asked for. Raises TrisepError for a user's error; returns the exit code."""
    chosen = arguments.analysis
    if isinstance(chosen, ProbeArguments):
        from trisep.analyses import probe

        return probe.run(chosen)
    if isinstance(chosen, GapArguments):
        from trisep.analyses import gap

        return gap.run(chosen)
    if isinstance(chosen, FusionArguments):
        from trisep.analyses import fusion

        return fusion.run(chosen)
    from trisep.analyses import queries

    return queries.run(chosen)
