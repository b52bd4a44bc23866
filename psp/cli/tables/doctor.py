"""What psp doctor found, a line each."""

from collections.abc import Sequence

from rich.text import Text

from psp.cli.console import out
from psp.doctor import BAD, NOTE, OK, Finding

STYLES = {OK: "green", NOTE: "yellow", BAD: "bold red"}


def show_finding(finding: Finding) -> None:
    """Print one finding as soon as it is known."""
    state = Text(f"{finding.state:<10}", STYLES[finding.state])
    remedy = Text(f". {finding.remedy}" if finding.remedy else "", "bold")
    out.print(state + Text(f"{finding.subject:<13}{finding.text}") + remedy)


def show_summary(findings: Sequence[Finding]) -> None:
    """Print whether psp works here."""
    stops = [finding.subject for finding in findings if finding.state == BAD]
    if stops:
        out.print(Text(f"psp does not work here before this is mended: {', '.join(stops)}"))
    else:
        out.print(Text("psp works here. Try it: psp demo"))
