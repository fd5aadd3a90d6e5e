"""`rtllm`, `rtllm-gpt35`, `rtllm-gpt4` and `verilog-eval` from their folders, and the user's own designs.

What a benchmark's texts mean (which module is tested, how its testbench says "passed") is known to
`effml.models.rtl.benchmarks`; here they are found and read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from effml.errors import MissingRequirement
from effml.experiments.data import checksum
from effml.experiments.data.entry import Content, Files
from effml.experiments.data.places import reading, require
from effml.models.rtl import benchmarks
from effml.models.rtl.problem import Problem

SPECIFICATIONS = ("specification.md", "specification.txt", "design_description.txt", "prompt.txt")
REWRITE = re.compile(r"rewrite_\w+\.v")
BUNDLED = Path(__file__).with_name("designs")


@dataclass(frozen=True)
class Answer:
    """What a model wrote for a design of RTLLM, recorded by its authors.

    Args:
        design: the design's name in RTLLM 2.0.
        trial: 1 to 5.
        text: Verilog, sometimes with prose around it.
    """

    design: str
    trial: int
    text: str


def rtllm(files: Files) -> Content:
    """The 50 designs as `Problem`, sorted by name; data files that testbenches read come with them."""
    problems = []
    for path, place in files.paths.items():
        parts = PurePosixPath(path).parts
        if parts[-1] != "design_description.txt":
            continue
        folder = path.rpartition("/")[0] + "/"
        beside = {name.removeprefix(folder): files[name] for name in files.paths if name.startswith(folder)}
        reference = next(name for name in beside if name.startswith("verified_"))
        extra = {name: held.read_bytes() for name, held in beside.items() if not name.endswith(".v") and held != place}
        problem = benchmarks.rtllm(
            parts[-2], _text(place), _text(beside["testbench.v"]), _text(beside[reference]), extra, group=parts[1]
        )
        problems.append(problem)
    return Content(sorted(problems, key=lambda problem: problem.name), note=f"{len(problems)} designs")


def answers(files: Files) -> Content:
    """The 29 designs of version 1 in five trials, as `Answer`, sorted by design and trial."""
    found = []
    for path, place in files.paths.items():
        trial, name = PurePosixPath(path).parts[-2:]
        design = name.removesuffix(".v")
        found.append(
            Answer(benchmarks.RTLLM_ANSWER_NAMES.get(design, design), int(trial.removeprefix("t")), _text(place))
        )
    found.sort(key=lambda answer: (answer.design, answer.trial))
    return Content(found, note=f"{len({answer.design for answer in found})} designs, {len(found)} answers of 2023")


def verilog_eval(files: Files) -> Content:
    """The 156 problems, specification to RTL, as `Problem`, sorted by name."""
    problems = []
    for path in sorted(files.paths):
        if path.endswith("_prompt.txt"):
            stem = path.removesuffix("_prompt.txt")
            texts = [_text(files[f"{stem}{ending}"]) for ending in ("_prompt.txt", "_test.sv", "_ref.sv")]
            problems.append(benchmarks.verilog_eval(PurePosixPath(stem).name, *texts))
    return Content(problems, note=f"{len(problems)} problems, spec-to-rtl")


def small(files: Files) -> Content:
    """The designs that come with the package, in the layout of the user's own."""
    return _folder(BUNDLED)


def own(files: Files) -> Content:
    """The user's folder: one folder a design, or a single one.

    A design has a specification (specification.md, specification.txt or design_description.txt), a testbench
    (testbench.v or .sv) that prints "Your Design Passed" between equals signs, a reference (reference.v or .sv, or
    RTLLM's verified_*.v), rewrites to be compared with it (rewrite_NAME.v), and any files that the testbench reads.
    """
    return _folder(files.own)


def _folder(root: Path) -> Content:
    require(root.is_dir(), root, "expected a folder of designs")
    folders = [root] if _has_testbench(root) else sorted(path for path in root.rglob("*") if _has_testbench(path))
    require(bool(folders), root, "no folder in it holds testbench.v or testbench.sv")
    problems = [design(folder) for folder in folders]
    names = [problem.name for problem in problems]
    require(len(set(names)) == len(names), root, "two designs have the same name")
    parts = [
        part
        for p in problems
        for part in (
            *(p.name, p.specification, p.testbench, p.reference),
            *(sorted(p.files.items()), sorted(p.rewrites.items())),
        )
    ]
    return Content(problems, checksum.of(*parts), f"{root.name}; {len(problems)} designs")


def design(folder: Path) -> Problem:
    """One design from its folder; MissingRequirement says what it lacks."""
    held = {path.name: path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")}
    specification = next((held[name] for name in SPECIFICATIONS if name in held), None)
    testbench = next(path for name, path in held.items() if name in ("testbench.v", "testbench.sv"))
    references = [
        path for name, path in held.items() if name in ("reference.v", "reference.sv") or name.startswith("verified_")
    ]
    if specification is None:
        raise MissingRequirement(f"{folder} is not usable: it holds no {' or '.join(SPECIFICATIONS[:3])}")
    require(len(references) == 1, folder, f"it holds {len(references)} references; expected one reference.v or .sv")
    rewrites = {name[len("rewrite_") : -2]: path for name, path in held.items() if REWRITE.fullmatch(name)}
    known = {specification, testbench, references[0], *rewrites.values()}
    extra = {name: path.read_bytes() for name, path in held.items() if path not in known}
    with reading(folder, "a design"):
        found = benchmarks.rtllm(folder.name, _text(specification), _text(testbench), _text(references[0]), extra)
    return replace(found, rewrites={name: _text(path) for name, path in rewrites.items()})


def _has_testbench(folder: Path) -> bool:
    return folder.is_dir() and any((folder / name).is_file() for name in ("testbench.v", "testbench.sv"))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return path.read_text(encoding="latin-1")  # some comments of RTLLM
    except OSError as error:
        raise MissingRequirement(f"{path} cannot be read: {error.strerror}") from error
