"""`effml list`: the menu of experiments."""

from __future__ import annotations

from effml.cli.words import Json


def list_experiments(json: Json = False) -> None:
    """The experiments, what each is about, and where to begin."""
    from effml.experiments.core import registry

    found = registry.everything()
    if json:
        import json as encoder

        print(
            encoder.dumps(
                [
                    {
                        "name": e.name,
                        "title": e.title,
                        "paper": e.paper,
                        "suites": list(e.suites),
                        "datasets": list(e.datasets),
                        "tables": [f"{e.name}.{table.id}" for table in e.tables],
                    }
                    for e in found
                ]
            )
        )
        return
    from effml.experiments.core.report import print_menu

    print_menu(found)
