"""A list of runs on a machine that is lent for minutes: most valuable first, within a time budget, rows back as one archive.

`python3 -m effml.experiments.core.batch gpu --minutes 9` uses the python3 at hand: nothing is installed. Packages that
this python lacks are taken from wheels in `.gpu/wheels`, data from `.gpu/data`. A step that fails costs only itself.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from effml.errors import Outcome, UserError
from effml.experiments.core import registry
from effml.experiments.core.places import conf_roots

CARRIED = Path(".gpu")
KEPT = ("row.json", "config.yaml", "log.txt", "stderr.txt")
LEAST = 15.0  # seconds below which no further step is begun


@dataclass(frozen=True)
class Step:
    """One run: words after `effml run`, and the most minutes that it may take."""

    name: str
    words: list[str]
    minutes: float


def steps(name: str) -> list[Step]:
    """The steps of `conf/batch/NAME.yaml` whose experiment is here."""
    import yaml

    for root in conf_roots():
        path = root / "batch" / f"{name}.yaml"
        if path.is_file():
            found = [Step(**entry) for entry in yaml.safe_load(path.read_text(encoding="utf-8"))]
            return [step for step in found if step.words[0] in registry.names()]
    raise UserError(f"no conf/batch/{name}.yaml")


def carried_packages(into: Path) -> list[str]:
    """Unpack carried wheels of packages that this python lacks; returns the folders to put on the path."""
    wheels = sorted((CARRIED / "wheels").glob("*.whl"))
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(into)
    return [str(into)] if wheels else []


def run(name: str, minutes: float, archive: Path, *, dry: bool, tests: bool = True) -> int:
    """Run the batch; returns the number of steps that did not end well."""
    with tempfile.TemporaryDirectory(prefix="effml-batch-") as results:
        return _run(name, minutes, archive, Path(results), dry=dry, tests=tests)


def _run(name: str, minutes: float, archive: Path, results: Path, *, dry: bool, tests: bool) -> int:
    deadline = time.monotonic() + 60 * minutes
    environment = dict(os.environ, EFFML_RESULTS=str(results), PYTHONUNBUFFERED="1")
    extra = carried_packages(results / "packages")
    environment["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), *extra, environment.get("PYTHONPATH", "")]).rstrip(
        os.pathsep
    )
    if (CARRIED / "data").is_dir():
        environment.setdefault("EFFML_DATA", str((CARRIED / "data").absolute()))
    lines: list[str] = []
    failed = 0
    if tests:
        marker = "gpu" if not dry else "gpu or (not slow and not realdata and not tools)"
        command = [sys.executable, "-m", "pytest", "-m", marker, "-x", "--maxfail=20", "tests/kernels"]
        failed += _carry_out("tests", command, min(180.0, deadline - time.monotonic()), environment, results, lines)
    for step in steps(name):
        left = deadline - time.monotonic()
        if left < LEAST:
            lines.append(f"{'no time':>9}           {step.name}")
            continue
        words = step.words
        if dry:
            words = [
                words[0],
                "--preset",
                "smoke",
                *(word for word in words[1:] if not word.startswith(("preset=", "dataset="))),
            ]
        where = ["--device", "cpu" if dry else "cuda", "--results", str(results)]
        command = [sys.executable, "-m", "effml", "run", *words, *where]
        failed += _carry_out(step.name, command, min(60 * step.minutes, left), environment, results, lines)
    (results / "batch.txt").write_text("\n".join(lines) + "\n")
    archive.parent.mkdir(parents=True, exist_ok=True)
    _pack(results, archive)
    print("\n".join(lines), f"\n{archive}: {archive.stat().st_size / 1e6:.1f} MB", flush=True)
    return failed


def _carry_out(
    name: str, command: list[str], seconds: float, environment: dict[str, str], results: Path, lines: list[str]
) -> int:
    """One process with a time limit; appends a line about how it ended, 1 when not well."""
    began = time.monotonic()
    log = results / f"{''.join(c if c.isalnum() else '-' for c in name)}.txt"
    with open(log, "wb") as output:
        try:
            code = subprocess.run(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment, timeout=seconds
            ).returncode
            how = "ok" if code == 0 else f"exit {code}"
        except subprocess.TimeoutExpired:
            code, how = 1, "cut off"
    lines.append(f"{how:>9} {time.monotonic() - began:7.1f} s  {name}")
    print(lines[-1], flush=True)
    if code:
        print("    " + "\n    ".join(log.read_text(errors="replace").splitlines()[-6:]), flush=True)
    return int(code != 0)


def _pack(results: Path, archive: Path) -> None:
    """Rows, configs and logs; artifacts stay behind, but for pictures."""
    with tarfile.open(archive, "w:gz") as packed:
        for path in sorted(results.rglob("*")):
            inside = path.relative_to(results)
            if inside.parts[0] == "packages" or not path.is_file():
                continue
            if path.name in KEPT or path.suffix in (".txt", ".png", ".gif"):
                packed.add(path, arcname=str(inside))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--archive", type=Path, default=Path("results") / "batch.tar.gz")
    parser.add_argument("--dry", action="store_true", help="rehearse without a device: smoke presets on the CPU")
    parser.add_argument("--no-tests", action="store_true")
    given = parser.parse_args()
    try:
        failed = run(given.name, given.minutes, given.archive, dry=given.dry, tests=not given.no_tests)
    except Outcome as outcome:
        print(f"effml: {outcome}", file=sys.stderr)
        sys.exit(outcome.code)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
