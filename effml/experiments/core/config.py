"""From words on the command line to a typed, validated, hashed config. The only file that calls Hydra.

Order, later wins: dataclass defaults, settings for the data set, preset, the user's overrides. Nothing heavy is imported
before every key, group and value has been checked.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effml.errors import UserError
from effml.experiments.core import registry
from effml.experiments.core.options import Option, check_config, nearest, options_of, unknown
from effml.experiments.core.places import conf_roots
from effml.experiments.core.spec import Experiment

GROUPS = ("dataset", "preset")


@dataclass(frozen=True)
class Resolved:
    """A config ready to run.

    `config` is the experiment's dataclass, `values` the same as plain data without the runtime part, `hash` names the
    values (64 hex digits), `overrides` is what the user typed.
    """

    experiment: Experiment
    config: Any
    values: dict[str, Any]
    hash: str
    overrides: list[str]
    preset: str


@dataclass(frozen=True)
class Parsed:
    """Checked overrides: group choices apart from values; `swept` maps a key to its list when a grid was given."""

    dataset: str | None
    preset: str | None
    values: list[str]
    swept: dict[str, list[str]]


def compose(
    experiment: Experiment, overrides: list[str], dataset: str | None = None, preset: str | None = None
) -> Resolved:
    """Compose, validate and hash one config; UserError says in one line what is wrong."""
    parsed = parse(experiment, overrides)
    if parsed.swept:
        key = next(iter(parsed.swept))
        raise UserError(f"{key} was given several values; use `effml sweep {experiment.name} {key}=...` for a grid")
    dataset = _one("dataset", dataset, parsed.dataset)
    preset = _one("preset", preset, parsed.preset)
    chosen_preset = preset or "default"
    _check_preset(experiment, chosen_preset)
    if dataset is not None:
        check_dataset(experiment, dataset)
    config = _compose(experiment, parsed.values, dataset, chosen_preset)
    try:
        check_config(config)
    except UserError as error:
        raise UserError(f"{experiment.name}: {error}") from None
    check_dataset(experiment, config.dataset.name)
    values = plain(config)
    typed = [f"dataset={dataset}"] if dataset else []
    typed += [f"preset={preset}"] if preset else []
    return Resolved(experiment, config, values, config_hash(experiment, values), typed + parsed.values, chosen_preset)


def parse(experiment: Experiment, overrides: list[str]) -> Parsed:
    """Check keys and grammar of `key=value` words by Hydra's own grammar; lists of values become `swept`."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    known = {option.key: option for option in options_of(experiment.config)}
    groups: dict[str, str] = {}
    values: list[str] = []
    swept: dict[str, list[str]] = {}
    for text in overrides:
        if "=" not in text:
            raise UserError(f"'{text}' is not key=value; `effml describe {experiment.name}` lists the keys")
        if text[0] in "+~":
            raise UserError(
                f"'{text}': options cannot be added or removed; `effml describe {experiment.name}` lists them"
            )
        key = text.split("=", 1)[0]
        _check_key(experiment, key, known)
        try:
            text, override = _read(parser, text, known.get(key))
        except HydraException as error:
            first = str(error).splitlines()[0]
            raise UserError(f"'{text}' cannot be read: {first}; quote values that hold spaces or brackets") from None
        if override.is_sweep_override():
            swept[key] = _sweep_values(override, text)
        elif key in GROUPS:
            groups[key] = text.split("=", 1)[1].strip("'\"")
        else:
            values.append(text)
    return Parsed(groups.get("dataset"), groups.get("preset"), values, swept)


def _read(parser: Any, text: str, option: Option | None) -> tuple[str, Any]:
    """The override of a word; text that Hydra's grammar has no letters for (other alphabets, `=`) is taken as it stands."""
    from hydra.errors import HydraException

    try:
        return text, parser.parse_override(text)
    except HydraException:
        key, _, value = text.partition("=")
        if (
            option is None
            or "str" not in option.type_name
            or "list" in option.type_name
            or value[:1] in ("'", '"', "[")
        ):
            raise
        quoted = value.replace("'", "\\'")
        text = f"{key}='{quoted}'"
        return text, parser.parse_override(text)


def _sweep_values(override: Any, text: str) -> list[str]:
    from hydra.core.override_parser.types import QuotedString

    if override.is_interval_sweep():
        raise UserError(f"'{text}': an interval has no points; use range(a,b,step) or a list")
    try:
        found = [value for value in override.sweep_string_iterator()]
    except Exception:
        raise UserError(f"'{text}': this form of grid is not supported; use a list or range(a,b,step)") from None
    return [value.with_quotes() if isinstance(value, QuotedString) else str(value) for value in found]


def _check_key(experiment: Experiment, key: str, known: dict[str, Option]) -> None:
    if key in known or key in GROUPS:
        return
    if key in ("seed", "device", "results"):
        raise UserError(f"'{key}' is not a key of the config; use --{key}")
    inside = [name for name in known if name.startswith(key + ".")]
    if inside:
        raise UserError(f"'{key}' is a group; set one of {', '.join(inside[:6])}")
    close = nearest(key, [*known, *GROUPS])
    if not close:
        raise UserError(f"{experiment.name} has no option '{key}'; `effml describe {experiment.name}` lists them")
    told = [f"{name} ({known[name].expected()})" if name in known else name for name in close]
    raise UserError(f"{experiment.name} has no option '{key}'; did you mean {' or '.join(told)}?")


def check_dataset(experiment: Experiment, name: str) -> None:
    """Refuse a data set that the experiment does not take."""
    allowed = [*experiment.datasets, *registry.dataset_settings(experiment.name)]
    if name not in allowed and name != "file":
        listed = [*dict.fromkeys(allowed), "file"]
        if name.endswith("-file"):
            raise UserError(f"data of your own are dataset=file dataset.path=..., not dataset={name}")
        error = unknown("data set", name, listed)
        raise UserError(f"{error}; {experiment.name} takes {', '.join(listed)}")


def _check_preset(experiment: Experiment, name: str) -> None:
    known = registry.presets(experiment.name)
    if name not in known and not (name == "default" and not known):
        raise unknown("preset", name, known)


def _one(what: str, named: str | None, typed: str | None) -> str | None:
    if named and typed and named != typed:
        raise UserError(f"--{what} {named} and {what}={typed} contradict each other")
    return named or typed


def _compose(experiment: Experiment, overrides: list[str], dataset: str | None, preset: str) -> Any:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    name, folder = experiment.name, f"experiment/{experiment.name}"
    chosen = dataset or _preset_dataset(experiment, preset)
    defaults: list[Any] = [f"schema/{name}"]
    if chosen in registry.dataset_settings(name):
        defaults.append({f"{folder}/dataset@_global_": chosen})
    if preset in registry.presets(name):
        defaults.append({f"{folder}@_global_": preset})
    store = ConfigStore.instance()
    store.store(group="schema", name=name, node=experiment.config, package="_global_")
    store.store(name=f"run_{name}", node={"defaults": [*defaults, "_self_"]})
    *added, own = conf_roots()
    search = [f"hydra.searchpath=[{','.join('file://' + str(root) for root in added)}]"] if added else []
    picked = [f"dataset.name={chosen}"] if chosen else []
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(config_dir=str(own), version_base="1.3"):
            composed = hydra_compose(config_name=f"run_{name}", overrides=[*search, *picked, *overrides])
        OmegaConf.resolve(composed)
        return OmegaConf.to_object(composed)
    except (HydraException, OmegaConfBaseException) as error:
        raise _explain(experiment, error) from None
    finally:
        GlobalHydra.instance().clear()


def _preset_dataset(experiment: Experiment, preset: str) -> str:
    """The data set of a preset, else the experiment's first."""
    import yaml

    for root in conf_roots():
        path = root / "experiment" / experiment.name / f"{preset}.yaml"
        if path.is_file():
            values = read_yaml(path, yaml.safe_load) or {}
            inner = values.get("dataset") if isinstance(values, dict) else None
            if isinstance(inner, dict) and inner.get("name"):
                return str(inner["name"])
            break
    return experiment.datasets[0] if experiment.datasets else ""


def read_yaml(path: Path, load: Any) -> Any:
    """Parse one YAML file; UserError with its name and place when it is malformed."""
    import yaml

    try:
        return load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise UserError(f"{path.name} is not valid YAML{line}: {getattr(error, 'problem', error)}") from None


def _explain(experiment: Experiment, error: Exception) -> UserError:
    """One line from a composition error: the option it concerns and what it expects."""
    # Hydra wraps the reason in exceptions or, for a YAML file, in lines of its message.
    causes: list[BaseException] = [error]
    while (inner := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(inner)
    lines = [line.strip() for cause in causes for line in str(cause).splitlines() if line.strip()]
    key = next((str(full) for cause in causes if (full := getattr(cause, "full_key", None))), None)
    key = key or next((line.split(":", 1)[1].strip() for line in lines if line.startswith("full_key:")), None)
    wrapping = ("raised while composing", "full_key", "Error merging")
    plain_lines = [line for line in lines if not any(word in line for word in wrapping)]
    first = plain_lines[0] if plain_lines else lines[0]
    where = next((line.split(":")[0].removeprefix("In ") for line in lines if "raised while composing" in line), "")
    key = key.split("[")[0] if key else None  # an element of a list: name the list
    known = {option.key: option for option in options_of(experiment.config)}
    if key in known:
        written = f", written {key}=[a,b]" if known[key].type_name.startswith("list") else ""
        return UserError(f"{key}: {first.rstrip('.')}; expected {known[key].expected()}{written}")
    if key:
        close = nearest(key, list(known))
        hint = f"; did you mean {close[0]}?" if close else ""
        return UserError(f"the settings {where or 'of ' + experiment.name} name an unknown key '{key}'{hint}")
    return UserError(f"{experiment.name}: {first}" + (f" (in {where})" if where else ""))


def from_values(experiment: Experiment, values: dict[str, Any], overrides: list[str], preset: str) -> Resolved:
    """The config that stored values mean, with a few overrides on top: what `reproduce` runs again."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    parsed = parse(experiment, overrides)
    try:
        merged = OmegaConf.merge(OmegaConf.structured(experiment.config), values, OmegaConf.from_dotlist(parsed.values))
        config = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise _explain(experiment, error) from None
    check_config(config)
    resolved = plain(config)
    return Resolved(experiment, config, resolved, config_hash(experiment, resolved), parsed.values, preset)


def plain(config: Any) -> dict[str, Any]:
    """A config dataclass as nested dicts, lists and scalars."""
    from dataclasses import asdict

    return asdict(config)


def config_hash(experiment: Experiment, values: dict[str, Any]) -> str:
    """sha256 of the resolved values without the runtime part; the order of keys does not matter."""
    kept = {key: value for key, value in flatten(values).items() if key not in experiment.runtime}
    text = json.dumps([experiment.name, kept], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one dict of dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
