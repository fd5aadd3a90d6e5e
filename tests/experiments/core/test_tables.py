"""Which measurement fills which cell."""

from effml.experiments.core.render import cell_text, number, render, sources
from effml.experiments.core.spec import Table
from effml.experiments.core.tables import Cell, build
from tests.fixtures.added.experiments.toy.config import EXPERIMENT as TOY

TABLE = TOY.tables[0]


def row(
    value,
    k=8,
    seed=0,
    hash="a" * 64,
    run="20260101T000000",
    device="CPU",
    status="ok",
    evidence="measured",
    metric="accuracy",
):
    item = {"table": "quality", "labels": {"dataset": "alpha", "k": k}, "metric": metric, "value": value, "unit": "1",
            "evidence": evidence}  # fmt: skip
    return {"experiment": "toy", "config_hash": hash, "seed": seed, "run_id": f"{run}-{hash[:8]}-s{seed}", "status": status,
            "device": {"name": device}, "measurements": [item], "preset": "default"}  # fmt: skip


def cells(*rows, paper=False):
    view = build(TOY, TABLE, list(rows), paper=paper)
    return {line.labels["k"]: line.cells for line in view.lines}, view


def test_seeds_are_averaged_with_their_spread():
    found, _ = cells(row(0.8, seed=0), row(0.9, seed=1), row(1.0, seed=2))
    cell = found[8]["accuracy"]
    assert abs(cell.value - 0.9) < 1e-12 and abs(cell.sd - 0.1) < 1e-12 and cell.n == 3


def test_the_newest_row_of_a_seed_wins_and_a_newer_config_replaces_an_older():
    found, _ = cells(row(0.1, run="20260101T000000"), row(0.2, run="20260102T000000"))
    assert found[8]["accuracy"].value == 0.2 and found[8]["accuracy"].n == 1
    old = [row(0.1, seed=s) for s in range(3)]
    found, _ = cells(*old, row(0.5, hash="b" * 64, run="20260103T000000"))
    assert found[8]["accuracy"].value == 0.5 and found[8]["accuracy"].n == 1


def test_a_table_may_show_more_of_another():
    rows = [row(0.5), row(7, metric="steps", hash="b" * 64)]
    narrow = build(TOY, TABLE, rows, paper=False)
    wide = build(TOY, Table("effort", "t", rows=("k",), metrics=("steps",), of="quality"), rows, paper=False)
    assert [column.name for column in narrow.columns] == ["accuracy"]
    assert [column.name for column in wide.columns] == ["steps"] and wide.lines[0].cells["steps"].value == 7


def test_older_settings_with_another_result_are_named():
    def of(value, rate, **more):
        config = {"suite": "train", "model": {"rate": rate, "sizes": [1]}}
        return {**row(value, **more), "config": config}

    old = {"hash": "b" * 64, "run": "20250101T000000"}
    assert "also measured with model.rate=0.1." in render(cells(of(0.5, 0.2), of(0.4, 0.1, **old))[1], "md")
    for same in (of(0.5, 0.1, **old), of(0.4, 0.2)):
        assert "also measured" not in render(cells(of(0.5, 0.2), same)[1], "md")


def test_sources_name_each_work_once():
    assert sources(["B, table 2", "A", "B, abstract", "B, table 2"]) == "A; B: abstract / table 2"


def test_failed_rows_fill_nothing():
    found, view = cells(row(0.5, status="failed"))
    assert not found and view.lines == []


def test_devices_stand_in_columns_of_their_own():
    _, view = cells(row(0.5, device="CPU"), row(0.6, device="GPU"))
    assert [column.name for column in view.columns] == ["accuracy [CPU]", "accuracy [GPU]"]


def test_weaker_evidence_marks_the_cell():
    found, view = cells(row(0.5, seed=0), row(0.7, seed=1, evidence="simulated"))
    assert found[8]["accuracy"].evidence == "simulated"
    assert "‡" in render(view, "md") and "stand-in" in render(view, "md")


def test_rows_sort_numbers_by_size_and_given_order_first():
    _found, view = cells(*(row(0.5, k=k, hash=f"{k:064d}") for k in (16, 2, 8)))
    assert [line.labels["k"] for line in view.lines] == [2, 8, 16]
    ordered = Table("quality", "t", rows=("k",), metrics=("accuracy",), order={"k": [16]})
    view = build(TOY, ordered, [row(0.5, k=k, hash=f"{k:064d}") for k in (16, 2, 8)], paper=False)
    assert [line.labels["k"] for line in view.lines] == [16, 2, 8]


def test_numbers_keep_significant_digits():
    assert number(0.94731) == "0.947" and number(12.345) == "12.3" and number(491520) == "491,520"
    assert number(1.5e-7) == "1.50e-07" and number(None) == "—"
    assert cell_text(Cell(0.94731, 0.0021, 3, "1", "measured", "CPU")) == "0.947 ± 0.002 (3)"
    assert cell_text(Cell(None, None, 0, "1", "measured", "CPU", note="out of memory")) == "n/a (out of memory)"


def test_commands_that_fill_a_cell_are_ones_that_run():
    from effml.experiments.core.tables import _runs

    assert _runs("effml run maxk suite=kernel kernel.graphs=[reddit]") and _runs("effml sweep maxk --grid kernel")
    assert _runs("effml run accelerators --device cuda --preset gpu")
    for graph in ("ddi", "low-degree graphs", "the paper's"):
        assert not _runs(f"effml run maxk suite=kernel kernel.graphs=[{graph}]")
    assert not _runs("effml run accel_gcn suite=kernel graphs=[am] widths=[mean]")


def test_a_command_may_be_made_from_the_labels_of_its_cell():
    from effml.experiments.core.registry import get
    from effml.experiments.core.tables import _command, _runs

    table = next(table for table in get("autorep").tables if table.id == "accuracy")
    cell = {"dataset": "cifar10", "strategy": "snl", "replacement": "linear", "budget": "240K"}
    wide, own = (_command(table, {**cell, "model": model}) for model in ("wrn22-w8", "resnet18-w16"))
    assert (
        "--preset paper" in wide and "model.name=wrn22 model.width=8" in wide and "train.methods=[snl+linear]" in wide
    )
    assert "preset" not in own and "model.width=16" in own and _runs(wide) and _runs(own)


def test_published_numbers_alone_are_a_table_where_no_command_could_measure():
    from effml.experiments.core.registry import get

    deediff = get("deediff")
    told = {table.id: build(deediff, table, []).told for table in deediff.tables}
    assert told.pop("published") and not any(told.values())
    assert build(TOY, TABLE, [row(0.8)]).told


def test_seeds_that_agree_have_no_spread_to_print():
    found, _ = cells(row(0.5, seed=0), row(0.5, seed=1), row(0.5, seed=2))
    assert cell_text(found[8]["accuracy"]) == "0.500 (3)"
