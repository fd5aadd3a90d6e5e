"""A table on a terminal: nothing of it is taken for markup, and no number is broken in two."""

import re

import pytest

from effml.experiments.core.report import print_table

HEADS = ["graph", "step", *(f"provider {n} seconds [s]" for n in range(6))]
BODY = [["[bold]artist", "epoch", *(f"0.0{n}12345†" for n in range(6))] for _ in range(2)]


@pytest.fixture
def printed(monkeypatch, capsys):
    def at(width: int, right: int | None = 2) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        print_table(HEADS, BODY, "speed: in [s]", right)
        return re.sub("\x1b\\[[0-9;]*m", "", capsys.readouterr().out).splitlines()

    return at


@pytest.mark.parametrize("width", [*range(38, 90, 3), 120, 160, 200])
def test_a_wide_table_is_cut_between_its_columns(printed, width):
    lines = printed(width)
    text = "\n".join(lines)
    assert all(len(line) <= width for line in lines)
    assert all(text.count(cell) == 2 for cell in BODY[0][2:]), "every number whole, once a row"
    parts = sum(line.startswith("graph") for line in lines)
    assert parts == {38: 6, 56: 3, 59: 2, 200: 1}.get(width, parts)
    assert text.count("[bold]artist") == 2 * parts and text.count("speed: in [s]") == 1


def test_units_are_not_taken_for_markup(printed):
    assert "\n".join(printed(200)).count("seconds [s]") == 6


def test_a_table_of_words_is_left_in_one(printed):
    assert sum("graph" in line for line in printed(60, None)) == 1


def test_columns_that_do_not_fit_beside_the_labels_stand_alone(printed):
    lines = printed(24)
    assert all(len(line) <= 24 for line in lines) and sum(line.startswith("grap") for line in lines) == 6
