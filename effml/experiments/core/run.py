"""What an experiment is handed: device, seeds, data, a place for artifacts, and `record`.

An experiment yields measurements through `record`, progress through `progress` and `log`; it never prints, never opens
the results folder and never decides where anything is stored.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from effml.errors import MissingRequirement
from effml.experiments.core import devices
from effml.experiments.core.seeding import derive, seed_torch
from effml.experiments.core.spec import DIVERGED, Dataset, Experiment

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
State = dict[str, Any]
"""What a checkpoint may hold: tensors and plain containers."""
Keep = Callable[[State], None]
EVIDENCE = ("measured", "recorded", "synthetic-data", "simulated", "paper")


class Display(Protocol):
    """Where a run shows itself: a terminal, plain lines, or nothing."""

    def log(self, text: str) -> None: ...

    def progress(self, label: str, done: int, total: int | None) -> None: ...


class Silent:
    """A display that shows nothing."""

    def log(self, text: str) -> None:
        return

    def progress(self, label: str, done: int, total: int | None) -> None:
        return


class Run:
    """One seed and one point of the config, while it runs.

    Attributes:
        seed: the run's seed; draw through `generator` and `numpy`, one stream per purpose.
        folder: the run folder; write only through `artifact`, `stage`, `resumable` and `save`.
        preset: the name of the preset in force.
    """

    def __init__(
        self,
        experiment: Experiment,
        folder: Path,
        seed: int,
        device: str = "cpu",
        display: Display | None = None,
        preset: str = "default",
    ) -> None:
        self.experiment, self.folder, self.seed, self.preset = experiment, folder, seed, preset
        self.device_name = device
        self.measurements: list[dict[str, Any]] = []
        self.data: list[dict[str, Any]] = []
        self._display = display or Silent()
        self._log = open(folder / "log.txt", "a", encoding="utf-8")  # noqa: SIM115 - lives as long as the run
        self._metrics = open(folder / "metrics.jsonl", "a", encoding="utf-8")  # noqa: SIM115
        self._lock = threading.Lock()
        self.diverged = False
        """Whether a loss of this run was not finite: its later measurements say so."""

    @cached_property
    def device(self) -> Any:
        """torch.device (or a plug-in's object) to run on; torch is imported and seeded at the first look."""
        found = devices.resolve(self.device_name)
        seed_torch(self.seed)
        return found

    # -- inputs ---------------------------------------------------------------------------------------------------

    def load(self, dataset: Dataset | str, **options: Any) -> Any:
        """Load a data set and note it, with its checksum, in the row.

        Fields of the `Dataset` other than its name are passed to the loader; `options` add to or override them.
        """
        from effml.experiments.data import registry

        name = dataset if isinstance(dataset, str) else dataset.name
        given = (
            {}
            if isinstance(dataset, str)
            else {f.name: getattr(dataset, f.name) for f in fields(dataset) if f.name != "name"}
        )
        if given.get("path") is None:
            given.pop("path", None)
        loaded = registry.load(name, among=self.experiment.datasets, **{**given, **options})
        if loaded.record not in self.data:
            self.data.append(loaded.record)
        return loaded.value

    def generator(self, purpose: str, device: Any = "cpu") -> torch.Generator:
        """A torch generator whose draws depend on the seed and the purpose alone."""
        import torch

        return torch.Generator(device=device).manual_seed(derive(self.seed, purpose))

    def numpy(self, purpose: str) -> np.random.Generator:
        """A numpy generator whose draws depend on the seed and the purpose alone."""
        return np.random.default_rng(derive(self.seed, purpose))

    # -- outputs --------------------------------------------------------------------------------------------------

    def record(
        self,
        table: str,
        labels: Mapping[str, Any],
        metric: str,
        value: float | int | None,
        unit: str | None = None,
        *,
        samples: Iterable[float] | None = None,
        evidence: str | None = None,
        note: str | None = None,
    ) -> None:
        """Record one measurement: the cell `labels` of `table`.

        Args:
            table, metric: names declared by the experiment.
            value: the number; None when it could not be measured (say why in `note`).
            unit: default, the unit declared with the metric.
            samples: the raw samples behind `value`.
            evidence: default "synthetic-data" when a generated data set was loaded in this run, else "measured".

        Raises:
            ValueError: an undeclared table or metric, or an unknown kind of evidence.
        """
        declared = self.experiment.metric(metric)
        if self.experiment.table(table) is None or declared is None:
            raise ValueError(f"{self.experiment.name} declares no table '{table}' or no metric '{metric}'")
        if evidence is None:
            generated = any(item.get("origin") == "generated" for item in self.data)
            evidence = "synthetic-data" if generated else "measured"
        if evidence not in EVIDENCE:
            raise ValueError(f"evidence '{evidence}' is none of {', '.join(EVIDENCE)}")
        number = None if value is None else float(value)
        measurement: dict[str, Any] = {
            "table": table,
            "labels": dict(labels),
            "metric": metric,
            "value": number if number is None or math.isfinite(number) else None,
            "unit": declared.unit if unit is None else unit,
            "evidence": evidence,
        }
        if samples is not None:
            measurement["samples"] = [float(sample) for sample in samples]
        if number is not None and not math.isfinite(number):
            note = f"the value was {number}" + (f"; {note}" if note else "")
        if self.diverged:
            note = DIVERGED + (f"; {note}" if note else "")
        if note:
            measurement["note"] = note
        with self._lock:
            self.measurements.append(measurement)

    def step(self, **metrics: float | int | str) -> None:
        """Append one line to metrics.jsonl: training curves and the like."""
        loss = metrics.get("loss")
        if isinstance(loss, float) and not math.isfinite(loss) and not self.diverged:
            self.diverged = True
            self.log(f"the loss is {loss}: a training of this run has diverged; a smaller learning rate may help")
        with self._lock:
            self._metrics.write(json.dumps(metrics) + "\n")
            self._metrics.flush()

    def log(self, text: str) -> None:
        """One line for the user and the run's log."""
        self.note(text)
        self._display.log(text)

    def note(self, text: str) -> None:
        """One line for the run's log alone."""
        with self._lock:
            self._log.write(text.rstrip("\n") + "\n")
            self._log.flush()

    def progress(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        """Iterate and show how far it is."""
        if total is None and hasattr(items, "__len__"):
            total = len(items)  # type: ignore[arg-type]
        self._display.progress(label, 0, total)
        for done, item in enumerate(items, 1):
            yield item
            self._display.progress(label, done, total)

    def artifact(self, name: str) -> Path:
        """A path inside the run folder for a file of this name; folders in the name are made."""
        path = self.folder / "artifacts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    # -- resumable work -------------------------------------------------------------------------------------------

    def stage(self, name: str, build: Callable[[], T]) -> T:
        """The result of `build`, kept in the run folder: a resumed run loads it instead of building it again.

        The result may hold tensors and plain containers only (state dicts, lists, numbers, strings).
        """
        return self.resumable(name, lambda progress, keep: build())

    def resumable(self, name: str, build: Callable[[State | None, Keep], T]) -> T:
        """A stage too long to be repeated whole, such as a training.

        Args:
            build: takes what it last gave to `keep` (None at first) to go on from, and `keep`, to be called now and then
                with all it needs for that, tensors and plain containers; returns the result, which replaces it.
        """
        kept = self.saved(name) or {}
        if "value" in kept:
            self.log(f"{name}: taken from the resumed run")
            return kept["value"]
        progress = kept.get("progress")
        if progress is not None:
            self.log(f"{name}: goes on where it was interrupted")
        value = build(progress, lambda state: self.save(name, {"progress": state}))
        self.save(name, {"value": value})
        return value

    def save(self, name: str, state: State) -> None:
        """Keep a checkpoint under this name, replacing the last one atomically."""
        import torch

        path = self._stage_path(name)
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_suffix(".tmp")
        torch.save(state, temporary)
        temporary.replace(path)

    def saved(self, name: str) -> State | None:
        """The checkpoint kept under this name, or None."""
        path = self._stage_path(name)
        if not path.is_file():
            return None
        import torch

        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise MissingRequirement(
                f"checkpoint {name} of {self.folder.name} is damaged ({type(error).__name__}); run without --resume"
            ) from error

    def _stage_path(self, name: str) -> Path:
        safe = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)
        return self.folder / "stages" / f"{safe}.pt"

    def close(self) -> None:
        self._log.close()
        self._metrics.close()
