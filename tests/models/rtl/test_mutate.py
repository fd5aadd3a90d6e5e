"""Edits: each changes one place, and a text that must not be preprocessed is left alone."""

import numpy as np

from effml.experiments.data import registry
from effml.models.rtl.mutate import faults, mutate, rewrites, slips
from tests.models.rtl.small import ADDER, COUNTER


def test_faults_hit_operators_conditions_edges_and_constants():
    words = {edit.what for edit in faults(COUNTER)}
    assert {"! dropped", "edge -> negedge", "edge -> posedge", "condition negated", "+ -> -", "4'd0 -> 4'd1"} <= words
    assert not any("<= " in word and word.startswith("<=") for word in words)  # an assignment is no comparison


def test_every_edit_changes_the_text_at_its_place():
    for edit in (*faults(COUNTER), *slips(COUNTER), *rewrites(COUNTER)):
        after = edit.apply(COUNTER)
        assert after != COUNTER and after.startswith(COUNTER[: edit.start])


def test_sharing_and_factoring_are_found_where_they_are():
    problems = {problem.name: problem for problem in registry.load("small-designs").value}
    shared = next(e for e in rewrites(problems["add_select"].reference) if "shared" in e.what)
    assert "(((sel) ? a : c) + ((sel) ? b : d))" in shared.apply(problems["add_select"].reference)
    factored = next(e for e in rewrites(problems["two_products"].reference) if "factored" in e.what)
    assert "(a * (b + c))" in factored.apply(problems["two_products"].reference)


def test_includes_and_macros_are_not_followed():
    for text in ('`include "/etc/passwd"\n' + ADDER, "`define x(a) a a\n" + ADDER):
        assert faults(text) == [] and mutate(text, [], np.random.default_rng(0)) == (text, "nothing to change")
