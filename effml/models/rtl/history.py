"""A finished trial as plain data, for a file, and back again.

What comes back is equal to what was written; a trial that was run to its end need not be run again.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from effml.models.llm import Usage
from effml.models.rtl.equivalence import Equivalence
from effml.models.rtl.ppa import Ppa
from effml.models.rtl.refine import Candidate, Outcome, State, Step
from effml.models.rtl.verdict import Verdict


def plain(outcome: Outcome) -> dict[str, Any]:
    """The trial as JSON can hold it: every transition, every proposed text with its verdict and figures."""
    return {
        "problem": outcome.problem,
        "ended": outcome.ended,
        "original": outcome.original,
        "best": outcome.best,
        "usage": asdict(outcome.usage),
        "steps": [
            {"state": step.state.value, "proposal": step.proposal, "to": step.to.value, "why": step.why}
            for step in outcome.steps
        ],
        "candidates": [asdict(candidate) for candidate in outcome.candidates],
    }


def restore(content: dict[str, Any]) -> Outcome:
    """The trial that `plain` wrote."""
    candidates = [
        Candidate(
            design=found["design"],
            round=found["round"],
            verdict=Verdict(**found["verdict"]) if found["verdict"] else None,
            equivalence=Equivalence(**found["equivalence"]) if found["equivalence"] else None,
            figures={script: Ppa(**figures) for script, figures in found["figures"].items()},
            rewrite=found["rewrite"],
        )
        for found in content["candidates"]
    ]
    steps = [Step(State(s["state"]), s["proposal"], State(s["to"]), s["why"]) for s in content["steps"]]
    return Outcome(
        content["problem"],
        candidates,
        steps,
        content["best"],
        content["original"],
        content["ended"],
        Usage(**content["usage"]),
    )
