"""What a model is told: no paths, capped, the first error and the last lines kept."""

from effml.models.rtl.feedback import LONGEST, cap, feedback, tidy
from effml.models.rtl.verdict import Verdict


def test_paths_and_colours_are_gone():
    assert (
        tidy("\x1b[31m/tmp/effml-rtl-x/design.v:3: error\x1b[0m\n/tmp/effml-rtl-x/design.v:3: error")
        == "design.v:3: error"
    )


def test_long_reports_keep_their_start_and_end():
    report = "\n".join(f"design.v:{i}: error {i}" for i in range(1, 2000)) + "\n1999 errors in all"
    said = feedback(Verdict("syntax", False, False, report), "wire a;\nwire b;")
    assert len(said) <= LONGEST and "error 1\n" in said and "1999 errors in all" in said and "more lines" in said
    assert "1: wire a;" in said


def test_one_endless_line_is_cut_too():
    assert len(cap("x" * 100_000, 500)) <= 500
