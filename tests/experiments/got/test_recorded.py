"""GPT-4's recorded answers: the published columns come out again, verdict by verdict."""

from __future__ import annotations

import pytest

from effml.experiments.got.recorded import _spoken, majority
from effml.models.thoughts.task import Verdict


@pytest.mark.realdata
def test_the_published_columns_come_out_again(effml):
    row = effml.row("got", "suite=replay", "--device", "cpu")
    values = {
        (m["labels"]["method"], m["labels"]["rule"], m["metric"]): m["value"]
        for m in row["measurements"]
        if m["table"] == "recorded"
    }
    assert values["IO", "mean of 100", "accuracy"] == pytest.approx(0.0734)
    assert values["IO", "best of 100", "accuracy"] == pytest.approx(0.33)
    assert values["CoT", "mean of 100", "accuracy"] == pytest.approx(0.0403)
    assert values["CoT", "best of 100", "accuracy"] == pytest.approx(0.49)
    assert values["CoT", "majority by text", "accuracy"] == pytest.approx(0.08)
    assert values["ToT", "any of 5", "accuracy"] == pytest.approx(0.69)
    assert values["ToT", "first of 5", "accuracy"] == pytest.approx(0.62)
    assert values["ToT", "mean of 5", "accuracy"] == pytest.approx(0.238, abs=5e-4)
    assert sum(value for key, value in values.items() if key[-1] == "answers") == 20_500
    assert all(value == 0 for key, value in values.items() if key[-1] == "disagreements")
    assert {m["evidence"] for m in row["measurements"]} == {"recorded"}
    assert row["data"][0]["name"] == "game24-gpt4"

    found = {
        (m["labels"]["what"], m["labels"]["states"], m["metric"]): m["value"]
        for m in row["measurements"]
        if m["table"] == "evaluator"
    }
    three, two = (("opinions: one says sure", f"{left} numbers") for left in (3, 2))
    assert found[*three, "value_true"] == pytest.approx(25.0, abs=0.1)
    assert found[*three, "value_false"] == pytest.approx(2.6, abs=0.1)
    assert found[*two, "precision"] > 0.8 and found[*two, "recall"] > 0.9
    likely = found["opinions: one says likely", "2 numbers", "precision"]
    assert likely < found[*two, "precision"] / 4  # likely is said of most dead states, too
    assert found["steps wrong", "all", "cases"] > 5900
    # The recording holds blank lines as thoughts of their own in three puzzles; those are the texts that differ.
    assert found["ToT selections", "all layers", "share"] * 2000 == pytest.approx(11)


def test_a_summed_value_is_taken_apart_into_its_opinions():
    assert _spoken(21.001) == ["sure", "likely", "impossible"]
    assert _spoken(2.0) == ["likely", "likely", "no word"]
    assert _spoken(60.0) == ["sure"] * 3
    assert _spoken(0.0) == ["no word"] * 3


def test_the_majority_takes_the_earlier_of_equals_and_lets_silence_abstain():
    right, wrong = Verdict(True, "r"), Verdict(False, "w")
    assert majority(["", "", "", "a", "b", "b", "a"], [wrong, wrong, wrong, right, wrong, wrong, right])
    assert not majority(["b", "a", "b"], [wrong, right, wrong])
    assert not majority(["", ""], [right, right])
