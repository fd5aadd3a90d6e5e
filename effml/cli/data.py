"""`effml data`: which data sets are at hand, and how to get the others."""

from __future__ import annotations

from typing import Annotated

import typer

from effml.cli.words import Json

app = typer.Typer(help="Data sets: what is there, what it needs, checksums.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="A name from `effml data list`.")]


@app.command("list")
def list_data(
    kind: Annotated[str | None, typer.Option(help="graph, images, video, ...")] = None, json: Json = False
) -> None:
    """Every data set: kind, origin, size, licence, and whether it is here."""
    from effml.experiments.data.registry import get, names, state

    rows = [(get(name), state(name)) for name in names(kind)]
    if json:
        import json as encoder

        print(
            encoder.dumps(
                [
                    {
                        "name": d.name,
                        "kind": d.kind,
                        "origin": d.origin,
                        "size": d.size,
                        "licence": d.licence,
                        "state": str(state),
                    }
                    for d, state in rows
                ]
            )
        )
        return
    from effml.experiments.core.report import print_table
    from effml.experiments.data.places import size_of

    print_table(
        ["name", "kind", "origin", "size", "here", "licence", "what"],
        [
            [d.name, d.kind, d.origin, "" if d.size is None else size_of(d), str(state), d.licence, d.title]
            for d, state in rows
        ],
    )


@app.command("get")
def get_data(name: Name) -> None:
    """Download a data set into the user's cache and verify it."""
    from effml.experiments.data.registry import fetch, get

    get(name)
    print(fetch(name))


@app.command("verify")
def verify_data(name: Name) -> None:
    """Check a data set's files against their checksums."""
    from effml.experiments.data.registry import get, verify

    get(name)
    print(verify(name))
