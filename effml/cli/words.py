"""Options that several verbs share, declared once."""

from __future__ import annotations

from typing import Annotated

import typer

from effml.cli import complete

Experiment = Annotated[str, typer.Argument(help="An id from `effml list`.", autocompletion=complete.experiments)]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="Options as key=value; `effml describe EXP` lists them.", autocompletion=complete.overrides),
]
Dataset = Annotated[
    str | None,
    typer.Option("--dataset", help="A data set, or `file` with dataset.path=...", autocompletion=complete.datasets),
]
Preset = Annotated[
    str | None,
    typer.Option("--preset", help="smoke (seconds), default (minutes), paper.", autocompletion=complete.presets),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, xpu, mps, or a device plug-in.")]
Results = Annotated[
    str | None, typer.Option("--results", help="Results folder (default: $EFFML_RESULTS, else the checkout's).")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, nothing else.")]
