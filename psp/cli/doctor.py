"""psp doctor: whether this machine has what psp needs."""

import typer

from psp.cli.options import Debug, Json


def doctor_command(as_json: Json = False, debug: Debug = False) -> None:
    """Check Python, torch, the GPU, libraries, memory and folders.

    Each line is ok, or says what to do. The exit code is 0 unless something stops psp from working,
    2 then: psp doctor
    """
    from psp.doctor import BAD, examine
    from psp.files import json_line

    if as_json:
        findings = examine()
        print(json_line([finding.to_dict() for finding in findings]))
    else:
        from psp.cli.tables.doctor import show_finding, show_summary

        findings = examine(show_finding)
        show_summary(findings)
    if any(finding.state == BAD for finding in findings):
        raise typer.Exit(2)
