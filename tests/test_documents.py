"""README and docs: every command works as printed, every example runs, every link leads somewhere, every menu is whole."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# What stands for a thing of the reader's own.
STANDS_FOR = {"EXP": "maxk", "NAME": "cora", "MODEL": "tiny"}


def commands() -> list[str]:
    """Lines that start with `effml` in code blocks, comments cut off, and whole commands in running text."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for _, body in FENCE.findall(text):
            found += [line for line in body.splitlines() if line.startswith("effml ")]
        found += [f"effml {words}" for words in re.findall(r"`effml ([^`]+)`", FENCE.sub("", text))]
    return list(dict.fromkeys(" ".join(shlex.split(line, comments=True)) for line in found))


COMMANDS = commands()
RUNS = [command for command in COMMANDS if command.split()[1] in ("run", "sweep") and "EXP" not in command]
FINISHED = ["effml show ", "effml compare ", "effml reproduce ", "effml table ", "effml plot ", "effml report"]


def words_of(command: str) -> list[str]:
    return [STANDS_FOR.get(word, word) for word in command.split()[1:]]


def test_commands_were_found():
    assert len(RUNS) > 20 and {"effml list", "effml doctor", "effml status"} <= set(COMMANDS)


@pytest.mark.parametrize("command", RUNS)
def test_runs_and_sweeps_are_accepted(command, effml):
    """Configuration, data set and options are understood; nothing is computed."""
    ended = effml(*words_of(command), *([] if "--dry-run" in command else ["--dry-run"]))
    assert ended.code == 0, ended.err


@pytest.mark.parametrize("command", [c for c in COMMANDS if c in ("effml list", "effml status", "effml data list")])
def test_looking_around(command, effml):
    ended = effml(*words_of(command))
    assert ended.code == 0 and (ended.out or ended.err)


def test_commands_about_finished_runs(effml):
    """Everything that looks back, after two small runs."""
    shown = [command for command in COMMANDS if f"{command} ".startswith(tuple(FINISHED)) and "ITEM" not in command]
    assert len(shown) > 5
    small = ("maxk", "suite=approximation", "--preset", "smoke")
    runs = [effml.row(*small, "--seed", seed)["run_id"] for seed in ("0", "1")]
    for command in shown:
        known = iter(runs)
        words = [next(known) if word == "RUN" else word for word in words_of(command)]
        if "--check" in words or ("last" in words and "ITEM" in words):
            continue  # the committed tables have a test of their own
        ended = effml(*words)
        assert ended.code in (0, 5), f"{command}: {ended.err}"


@pytest.mark.slow
@pytest.mark.parametrize("command", [c for c in RUNS if c.startswith("effml run")])
def test_runs_at_smoke(command, effml):
    """The same commands at the smallest preset: done, or one line that names what is missing."""
    words = [word for word in words_of(command) if not re.match(r"[\w.]+=", word) or word.startswith("suite=")]
    words = words[: words.index("--preset")] + words[words.index("--preset") + 2 :] if "--preset" in words else words
    ended = effml(*words, "--preset", "smoke")
    assert ended.code in (0, 4), ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run(page):
    """Python blocks of a page, each by itself; those of docs/adding.md are parts of files and are only compiled."""
    for number, (language, body) in enumerate(FENCE.findall(page.read_text(encoding="utf-8"))):
        if language == "python":
            code = compile(body, f"{page.name} block {number}", "exec")
            if page.name != "adding.md":
                exec(code, {"__name__": "example"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_experiment_has_a_menu_line_and_a_page():
    from effml.experiments.core.registry import names

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in names():
        if (ROOT / "effml" / "experiments" / name).is_dir():
            assert f"`{name}`" in readme, f"README's menu lacks {name}"
            assert (ROOT / "docs" / f"{name}.md").exists(), f"docs/{name}.md is missing"
