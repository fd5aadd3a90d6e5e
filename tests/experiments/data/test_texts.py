"""Data sets of texts: puzzles, Verilog benchmarks, cell libraries, operator shapes."""

import gzip
import os
from collections import Counter
from pathlib import Path

import pytest

from effml.errors import MissingRequirement, UserError
from effml.experiments.data import registry
from effml.experiments.data.shapes import deepbench
from tests.experiments.data.damage import survives

# -- puzzles ----------------------------------------------------------------------------------------------------------


@pytest.mark.realdata
def test_game24_has_its_puzzles_in_order():
    puzzles = registry.load("game24").value
    assert len(puzzles) == 1_362 and [puzzle.id for puzzle in puzzles] == [str(rank) for rank in range(1, 1_363)]
    assert puzzles[0].text == "1 1 4 6" and puzzles[0].solved_rate == pytest.approx(0.992)
    assert all(len(puzzle.text.split()) == 4 and 0 < puzzle.solved_rate <= 1 for puzzle in puzzles)
    part = registry.load("game24", first=901, last=1_000)
    assert len(part.value) == 100 and part.value[0].text == "4 5 6 10" and "901 to 1000" in part.record["note"]
    with pytest.raises(UserError, match="first=10, last=9"):
        registry.load("game24", first=10, last=9)


@pytest.mark.realdata
def test_recordings_of_gpt4_are_complete():
    held = registry.load("game24-gpt4").value
    assert set(held) == {"io", "cot", "tot"}
    for method in ("io", "cot"):
        assert [len(record["ys"]) for record in held[method].puzzles] == [100] * 100
        assert [record["idx"] for record in held[method].puzzles] == list(range(900, 1_000))
    assert all(len(record["steps"]) == 4 for record in held["tot"].puzzles)
    assert sum(len(recording.puzzles[0]["ys"]) for recording in held.values()) == 205  # 20,500 answers in all


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("puzzle\n3 3 8 8\n1 5 5 5\n", [("1", "3 3 8 8"), ("2", "1 5 5 5")]),
        ("3 3 8 8\n\n1 5 5 5", [("1", "3 3 8 8"), ("2", "1 5 5 5")]),
        ('id,problem,note\na,x^2 - 1,easy\nb,"1, 2, 4",\n', [("a", "x^2 - 1"), ("b", "1, 2, 4")]),
    ],
)
def test_own_puzzles(text, expected, tmp_path):
    (tmp_path / "mine.csv").write_text(text)
    loaded = registry.load("file", path=tmp_path / "mine.csv", among=("game24",))
    assert [(puzzle.id, puzzle.text) for puzzle in loaded.value] == expected


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no puzzle"),
        (b"puzzle\n", "header and no puzzle"),
        (b"a,b\n1,2\n", "none called puzzle"),
        (b"id,puzzle\n1,3 3 8 8\n2\n", "puzzle 2 has 1 columns instead of 2"),
        (b"id,puzzle\n1,3 3 8 8\n1,2 2 2 2\n", "same id"),
        (b"puzzle,id\n ,1\n", "puzzle 1 is empty"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b'puzzle\n"3 3 8 8\n', "cannot be read"),
    ],
)
def test_own_puzzles_that_are_damaged(content, told, tmp_path):
    (tmp_path / "mine.csv").write_bytes(content)
    with pytest.raises(MissingRequirement, match=rf"mine\.csv .*{told}"):
        registry.load("puzzle-file", path=tmp_path / "mine.csv")


# -- Verilog ----------------------------------------------------------------------------------------------------------


@pytest.mark.realdata
def test_rtllm_has_fifty_problems_whose_references_fit_their_testbenches():
    problems = registry.load("rtllm").value
    assert len(problems) == 50 and Counter(problem.group for problem in problems) == {
        "Arithmetic": 19, "Control": 6, "Memory": 5, "Miscellaneous": 20,
    }  # fmt: skip
    for problem in problems:
        assert f"module {problem.top}" in problem.reference and problem.top in problem.testbench
        assert "verified_" not in problem.reference and problem.specification.strip()
    files = {problem.name: set(problem.files) for problem in problems if problem.files}
    assert files["alu"] == {"reference.dat"} and files["asyn_fifo"] == {"rempty.txt", "tdata.txt", "wfull.txt"}


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["rtllm-gpt35", "rtllm-gpt4"])
def test_recorded_answers_are_five_trials_of_29_designs(name):
    answers = registry.load(name).value
    assert Counter(answer.trial for answer in answers) == dict.fromkeys(range(1, 6), 29)
    designs = {answer.design for answer in answers}
    assert len(designs) == 29 and designs <= {problem.name for problem in registry.load("rtllm").value}


@pytest.mark.realdata
def test_verilog_eval_has_156_problems():
    problems = registry.load("verilog-eval").value
    assert len(problems) == 156 and problems[0].name == "Prob001_zero" and problems[-1].name.startswith("Prob156")
    assert all("TopModule" in problem.reference and "RefModule" in problem.golden for problem in problems)


def own_design(folder: Path, name: str = "inverter") -> Path:
    folder = folder / name
    folder.mkdir(parents=True)
    (folder / "specification.md").write_text("Invert a.")
    (folder / "testbench.v").write_text(
        "module tb; reg a; wire y; "
        + name
        + ' dut(.a(a), .y(y)); initial $display("==Your Design Passed=="); endmodule\n'
    )
    (folder / "reference.v").write_text(f"module {name}(input a, output y); assign y = ~a; endmodule\n")
    (folder / "vectors.txt").write_text("0 1\n")
    return folder


def test_own_designs(tmp_path):
    for name in ("inverter", "buffer"):
        own_design(tmp_path / "designs", name)
    loaded = registry.load("file", path=tmp_path / "designs", among=("rtllm",))
    assert [(p.name, p.top, sorted(p.files)) for p in loaded.value] == [
        ("buffer", "buffer", ["vectors.txt"]),
        ("inverter", "inverter", ["vectors.txt"]),
    ]
    (single,) = registry.load("rtl-folder", path=tmp_path / "designs" / "buffer").value
    assert single.specification == "Invert a."


@pytest.mark.parametrize(
    ("lacks", "told"),
    [("specification.md", "holds no specification"), ("reference.v", "0 references"), ("testbench.v", "no folder")],
)
def test_own_design_says_what_it_lacks(lacks, told, tmp_path):
    (own_design(tmp_path) / lacks).unlink()
    with pytest.raises(MissingRequirement, match=told):
        registry.load("rtl-folder", path=tmp_path)


def test_damaged_own_design(tmp_path, seed):
    folder = own_design(tmp_path)
    assert survives("rtl-folder", folder / "reference.v", seed, folder=tmp_path) >= 5


# -- cells and shapes -------------------------------------------------------------------------------------------------


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "parts", "unit"), [("ihp-sg13g2", 1, "1ns"), ("asap7", 3, "1ps")])
def test_cell_libraries(name, parts, unit):
    cells = registry.load(name).value
    assert len(cells.paths) == parts
    for path in cells.paths:
        text = gzip.decompress(path.read_bytes()).decode("latin-1")
        assert f'time_unit : "{unit}"' in text and "cell (" in text


def test_own_liberty(tmp_path, seed):
    text = 'library (mine) {\n  time_unit : "1ns";\n  cell (INV) { area : 1; pin (A) { direction : input; } }\n}\n'
    (tmp_path / "mine.lib").write_text(text)
    (tmp_path / "mine.lib.gz").write_bytes(gzip.compress(text.encode()))
    one = registry.load("file", path=tmp_path / "mine.lib", among=("asap7",))
    packed = registry.load("liberty-file", path=tmp_path / "mine.lib.gz")
    assert one.record["sha256"] == packed.record["sha256"] and len(one.value.paths) == 1
    assert len(registry.load("liberty-file", path=tmp_path).value.paths) == 2
    assert survives("liberty-file", tmp_path / "mine.lib.gz", seed) >= 30
    (tmp_path / "mine.lib").write_text(text[:-3])
    with pytest.raises(MissingRequirement, match=r"mine\.lib .*3 braces open and 2 close"):
        registry.load("liberty-file", path=tmp_path / "mine.lib")


def test_deepbench_counts():
    shapes = registry.load("deepbench").value
    assert Counter(shape.operator for shape in shapes) == {"gemm": 248, "conv": 217, "sparse_gemm": 32, "rnn": 125}
    gemms = registry.load("deepbench", operator="gemm").value
    assert gemms[0].part == "training" and gemms[0].values == {
        "m": 1760,
        "n": 16,
        "k": 1760,
        "a_t": False,
        "b_t": False,
    }
    assert sum(shape.part == "training" for shape in gemms) == 160
    with pytest.raises(UserError, match="operator=gem"):
        registry.load("deepbench", operator="gem")


@pytest.mark.realdata
@pytest.mark.parametrize("operator", deepbench.COLUMNS)
def test_deepbench_tables_equal_the_headers(operator):
    found = [Path(root) / "deepbench" / f"{operator}_problems.h" for root in os.environ["EFFML_DATA"].split(os.pathsep)]
    path = next((path for path in found if path.is_file()), None)
    if path is None:
        pytest.skip("the headers are not below EFFML_DATA")
    assert deepbench.parse(path.read_text(), operator, path) == registry.load("deepbench", operator=operator).value
