"""`effml describe`: everything that can be set and everything that is measured in one experiment."""

from __future__ import annotations

from effml.cli.words import Experiment, Json


def describe(experiment: Experiment, json: Json = False) -> None:
    """An experiment's options with type, default and choices, its data sets, cost, metrics and tables."""
    from effml.experiments.core import registry
    from effml.experiments.core.options import options_of

    chosen = registry.get(experiment)
    options = options_of(chosen.config)
    if json:
        import json as encoder

        print(
            encoder.dumps(
                {
                    "name": chosen.name,
                    "title": chosen.title,
                    "paper": chosen.paper,
                    "options": [
                        {
                            "key": o.key,
                            "type": o.type_name,
                            "default": o.default,
                            "help": o.help,
                            "choices": list(o.choices) if o.choices else None,
                            "low": o.low,
                            "high": o.high,
                        }
                        for o in options
                    ],
                    "datasets": [*chosen.datasets, "file"],
                    "presets": registry.presets(experiment),
                    "grids": registry.grids(experiment),
                    "metrics": [
                        {"name": m.name, "unit": m.unit, "help": m.help, "better": m.better} for m in chosen.metrics
                    ],
                    "tables": [{"id": f"{chosen.name}.{t.id}", "title": t.title} for t in chosen.tables],
                }
            )
        )
        return
    from effml.experiments.core.report import print_description

    print_description(chosen, options)
