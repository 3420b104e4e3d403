"""`trisep doctor`: this installation → what works and what is missing."""

from dataclasses import dataclass

from tyro.conf import FlagCreatePairsOff


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Examine this installation: versions, devices, threads, FFmpeg, pretrained files and models.

    For example:

        trisep doctor
        trisep doctor --json
    """

    json: FlagCreatePairsOff[bool] = False
    """Print a JSON list."""


def run(arguments: Arguments) -> int:
    """Print what was found; returns 1 when something is missing or broken, otherwise 0."""
    import json
    from dataclasses import asdict

    from trisep.doctor import examine

    findings = examine()
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False, indent=1))
    else:
        for finding in findings:
            print(f"{'!' if finding.is_problem else ' '} {finding.name:20} {finding.value}")
        count = sum(finding.is_problem for finding in findings)
        print(f"{count} problem{'s' if count > 1 else ''}, marked with !" if count else "Everything works.")
    return int(any(finding.is_problem for finding in findings))
