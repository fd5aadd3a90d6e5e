"""`effml doctor`: what this machine can run, and the exact command that gets each missing thing."""

from __future__ import annotations

from effml.cli.words import Json


def doctor(json: Json = False) -> None:
    """Devices, compilers, tools, packages, keys and data on this machine."""
    from effml.experiments.core import examine

    findings = examine.everything()
    if json:
        import json as encoder

        print(
            encoder.dumps([{"what": f.what, "state": f.state, "found": f.found, "remedy": f.remedy} for f in findings])
        )
        return
    from effml.experiments.core.report import print_table

    print_table(
        ["what", "state", "found", "needed for", "how to get it"],
        [[f.what, f.state, f.found, f.needed_for, f.remedy] for f in findings],
    )
