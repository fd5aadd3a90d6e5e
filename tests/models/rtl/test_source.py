"""The text side: code inside answers, modules, renaming, refusals."""

import pytest

from effml.models.rtl.source import clean, code_of, instantiated, names, refusals, rename, roots

TWO = """module top(input a, output b); leaf #(.N(2)) u(.a(a), .b(b)); endmodule
module leaf(input a, output b); assign b = a; endmodule
"""


def test_roots_and_instances_are_told_apart():
    assert names(TWO) == ["top", "leaf"]
    assert roots(TWO) == ["top"]
    assert instantiated(TWO.replace("module leaf", "module other")) == ["leaf"]


def test_rename_leaves_strings_comments_and_longer_names_alone():
    text = 'module a; // a\n wire ab; initial $display("a"); endmodule'
    assert rename(text, {"a": "z"}) == 'module z; // a\n wire ab; initial $display("a"); endmodule'


@pytest.mark.parametrize(
    "answer",
    [
        "Here is the code:\n```verilog\n" + TWO + "```\nIt adds.",
        "Sure! The module follows.\n\n" + TWO + "\nExplanation: a module that passes a to b.",
        "```\n" + TWO,  # cut off before the fence was closed
        "First a testbench:\n```verilog\nmodule t; top u(); endmodule\n```\n```verilog\n" + TWO + "```",
    ],
)
def test_code_is_found_in_prose(answer):
    found = code_of(answer, "top")
    assert {"top", "leaf"} <= set(names(found))
    assert "```" not in found and "Sure" not in found and "Explanation" not in found


def test_later_block_replaces_the_earlier_attempt():
    answer = (
        "```verilog\nmodule top; wire old; endmodule\n```\nOops.\n```verilog\nmodule top; wire mended; endmodule\n```"
    )
    assert "mended" in code_of(answer, "top") and "old" not in code_of(answer, "top")


def test_bare_code_is_returned_as_it_is():
    text = "`timescale 1ns/1ps\n" + TWO
    assert code_of(text, "top") == text


@pytest.mark.parametrize(
    "line",
    [
        '`include "/etc/passwd"',
        'initial f = $fopen("x");',
        'initial $readmemh("reference.dat", m);',
        'initial $dumpfile("/tmp/x");',
        'initial $system("id");',
    ],
)
def test_files_and_system_calls_are_refused_by_name_and_line(line):
    reasons = refusals(f"module m;\n{line}\nendmodule")
    assert len(reasons) == 1 and reasons[0].startswith("line 2: ")


def test_words_in_comments_and_strings_are_not_refused():
    assert refusals('module m; // `include "x" $fopen\n initial $display("$fopen"); endmodule') == []


def test_enormous_text_is_refused_unread():
    assert "characters" in refusals("x" * 500_000)[0]


def test_clean_keeps_places_of_letters():
    assert clean("a\r\nµ\x00b") == "a\n?b"
