"""The benchmark end to end: on a virtual clock every figure is known; on this CPU every rule of honesty holds."""

import json

import pytest
import torch

from effml.experiments.accelerators import cases, deepbench, formulas
from effml.experiments.accelerators.backends import Fake, Torch
from effml.experiments.accelerators.roofs import measured_roofs, share_of_roof
from effml.experiments.core.measure import interleave


def values(row, table, metric):
    return {
        json.dumps(m["labels"], sort_keys=True): m["value"]
        for m in row["measurements"]
        if (m["table"], m["metric"]) == (table, metric)
    }


def test_virtual_clock_puts_every_point_on_its_roof(effml):
    row = effml.row("accelerators", "--preset", "smoke", "--device", "fake", "suite=gemm", "gemm.sizes=[64,4096]")
    fake = Fake()
    assert {m["evidence"] for m in row["measurements"]} == {"simulated"}
    shares = values(row, "roofline", "share_of_roof")
    assert len(shares) > 10 and all(share == pytest.approx(1.0) for share in shares.values())
    for labels, ridge in values(row, "portrait", "ridge").items():
        assert ridge == pytest.approx(fake.peak[json.loads(labels)["dtype"]] / fake.bandwidth)
    assert all(drift == 1.0 for drift in values(row, "portrait", "drift").values())


def test_smoke_on_this_cpu(effml):
    row = effml.row("accelerators", "--preset", "smoke")
    tables = {m["table"] for m in row["measurements"]}
    assert {
        "gemm",
        "skew",
        "conv",
        "spmm",
        "block_sparse",
        "stream",
        "attention",
        "encoder",
        "product",
        "portrait",
    } <= tables
    errors = [m for m in row["measurements"] if m["metric"] == "tflops" and m["value"] is None]
    assert not errors, errors
    assert all(m["evidence"] == "measured" for m in row["measurements"])
    steps = {m["labels"]["step"] for m in row["measurements"] if m["table"] == "encoder"}
    assert steps == {"forward", "train"}
    assert {m["labels"]["dtype"] for m in row["measurements"] if m["table"] == "gemm"} == {"fp32", "bf16"}


def test_a_wrong_provider_gets_an_error_and_no_time():
    good = cases.gemm(32, 32, 32, "fp32", {}, "gemm")
    providers = {"torch": torch.matmul, "planted": lambda a, b: (a @ b) * 1.01, "broken": lambda a, b: a @ b[:3]}
    case = cases.Case(
        good.op, {}, "fp32", good.flops, good.nbytes, good.build, providers, good.oracle, good.tolerance, "gemm"
    )
    backend = Torch(torch.device("cpu"), "cpu")
    outcomes = {o.provider: o for o in backend.run(case, torch.Generator().manual_seed(0), 3, cold=False)}
    assert outcomes["torch"].timing is not None and outcomes["torch"].error == ""
    assert outcomes["planted"].timing is None and "wrong result" in outcomes["planted"].error
    assert outcomes["broken"].timing is None and "RuntimeError" in outcomes["broken"].error


def test_rates_cold_and_warm_and_over_float32(monkeypatch):
    """Products are timed with swept caches and again without; the ratio of dtypes takes the best provider of each."""
    from effml.experiments.accelerators.roofs import Point, over_fp32
    from effml.experiments.core import measure

    monkeypatch.setattr(measure, "_cache_sweeper", lambda: torch.zeros(1024))
    backend, generator = Torch(torch.device("cpu"), "cpu"), torch.Generator().manual_seed(0)
    points = [
        Point(case, outcome)
        for case in [*cases.square_gemms([64], ["fp32", "bf16"], parts=2), *cases.streams([4096], ["fp32"])]
        for outcome in backend.run(case, generator, 3, cold=True)
    ]
    gemms = [point for point in points if point.case.op == "gemm"]
    assert [p.outcome.provider for p in gemms] == ["torch", "torch by rows"] * 2
    assert all(p.outcome.error == "" and p.warm_tflops and p.highest >= p.tflops for p in gemms)
    assert all(p.warm_tflops is None and p.highest == p.tflops for p in points if p.case.op != "gemm")
    best = max(p.warm_tflops for p in gemms[:2])
    assert [over_fp32(p, points) for p in gemms] == [None, None, *(p.warm_tflops / best for p in gemms[2:])]
    assert not backend.run(gemms[0].case, generator, 3, cold=False)[0].warm
    assert next(cases.square_gemms([63], ["bf16"], parts=2)).providers.keys() == {"torch"}


def test_a_wrong_result_becomes_an_error_row(effml, monkeypatch):
    from effml.experiments.accelerators import backends

    monkeypatch.setattr(backends, "fake", lambda: Fake(faulty=("relu",)))
    row = effml.row("accelerators", "--preset", "smoke", "--device", "fake", "suite=stream")
    relu = [m for m in row["measurements"] if m["table"] == "stream" and m["labels"]["op"] == "relu"]
    assert relu and all(m["metric"] == "tflops" and m["value"] is None and "wrong" in m["note"] for m in relu)


def test_inputs_are_random_because_zeros_flatter():
    """A benchmark on zeros would pass any wrong provider that returns zeros; random data does not."""
    zeros = {"lazy": lambda a, b: torch.zeros(a.shape[0], b.shape[1])}
    good = cases.gemm(16, 16, 16, "fp32", {}, "gemm")
    case = cases.Case("gemm", {}, "fp32", good.flops, good.nbytes, good.build, zeros, good.oracle, good.tolerance)
    backend, generator = Torch(torch.device("cpu"), "cpu"), torch.Generator().manual_seed(0)
    assert backend.run(case, generator, 3, cold=False)[0].timing is None
    blank = cases.Case(
        "gemm", {}, "fp32", good.flops, good.nbytes, lambda d, g: (torch.zeros(16, 16),) * 2, zeros, good.oracle, 1e-3
    )
    assert backend.run(blank, generator, 3, cold=False)[0].timing is not None
    drawn = good.build(torch.device("cpu"), generator)
    assert all(x.std() > 0.5 for x in drawn)


def test_no_point_stands_above_its_roof():
    from effml.experiments.accelerators.backends import Outcome
    from effml.experiments.accelerators.roofs import Point

    fake, generator = Fake(), torch.Generator()
    points = []
    for case in [*cases.square_gemms([64, 1024, 8192], ["fp32"]), *cases.streams([4096, 65536], ["fp32"])]:
        points += [Point(case, outcome) for outcome in fake.run(case, generator, 3, cold=True)]
    roofs = measured_roofs(points)
    peak, bandwidth = roofs["fp32"]
    assert peak == pytest.approx(1.0) and bandwidth == pytest.approx(100)
    assert max(share_of_roof(p, roofs) for p in points) <= 1.05
    assert isinstance(points[0].outcome, Outcome)
    assert formulas.attainable(1e9, 5.0, 1.0) == 5.0 and formulas.attainable(2.0, 5.0, 1.0) == 2.0


def test_missing_devices_are_named(effml):
    for name, need in [("ipu", "poptorch"), ("rdu", "SambaFlow")]:
        ended = effml("run", "accelerators", "--device", name)
        assert ended.code == 4 and f"'{name}'" in ended.err and need in ended.err
    assert effml("run", "toy", "--device", "fake").code == 2


def test_published_rows_are_marked_and_never_committed(effml):
    row = effml.row("accelerators", "--device", "replay")
    assert {m["evidence"] for m in row["measurements"]} == {"paper"}
    v100 = values(row, "deepbench", "tflops")
    key = json.dumps({"device": "V100", "dtype": "fp32", "shape": "1760x7000x1760"}, sort_keys=True)
    assert v100[key] == 12.85
    effml("table", "--update")
    assert not list((effml.results / "rows").glob("*.jsonl"))


def test_devices_stand_side_by_side(effml):
    """Rows of two devices and published ones, in one table: a column each, published figures marked."""
    words = ("accelerators", "--preset", "smoke", "suite=skew", "dtypes=[fp32]")
    measured = effml.row(*words)
    effml.row(*words, "--device", "fake")
    effml.row("accelerators", "--device", "replay")
    table = json.loads(effml("table", "accelerators.devices", "--smoke", "--format", "json").out)
    here, fake = measured["device"]["name"], Fake().name
    assert {here, fake, "A100 SXM", "V100 SXM"} <= set(table["columns"])
    lines = {(line["labels"]["figure"], line["labels"]["dtype"]): line["cells"] for line in table["rows"]}
    both = lines["memory, streaming [GB/s]", "fp32"]
    assert both[fake]["value"] == pytest.approx(Fake().bandwidth / 1e9) and both[fake]["evidence"] == "simulated"
    assert both[here]["value"] > 0 and both[here]["evidence"] == "measured"
    assert lines["published peak [TFLOP/s]", "fp32"]["V100 SXM"] | {"device": ""} == {
        "value": 15.7, "sd": None, "n": 1, "unit": "", "evidence": "paper", "device": "", "paper": None,
    }  # fmt: skip
    assert here not in lines["published peak [TFLOP/s]", "fp32"]
    portrait = json.loads(effml("table", "accelerators.portrait", "--smoke", "--format", "json").out)
    ((_, line),) = enumerate(portrait["rows"])
    assert {f"peak_bandwidth [{here}]", f"peak_bandwidth [{fake}]"} <= set(line["cells"])
    # The same cells of both runs, one beside the other.
    runs = [path.parent.name for path in (effml.results / "runs" / "accelerators").glob("*/row.json")]
    chosen = [r for r in runs if "replay" not in (effml.results / "runs" / "accelerators" / r / "row.json").read_text()]
    compared = effml("compare", *chosen)
    assert compared.code == 0 and "changed: device" in compared.out and "portrait" in compared.out


def test_every_own_kernel_is_an_operator(effml):
    row = effml.row("accelerators", "--preset", "smoke", "suite=product", "dtypes=[fp32]")
    found = {(m["labels"]["op"], m["labels"]["provider"]) for m in row["measurements"]
             if m["table"] == "product" and m["metric"] == "seconds"}  # fmt: skip
    for op in ("maxk", "spmm", "maxk product", "revlif", "lif", "retention", "gated polynomial"):
        assert {provider for name, provider in found if name == op} >= {"effml"}, op
        assert len([1 for name, _ in found if name == op]) == 2, "and one of torch's beside it"


def test_deepbench_is_read_whole_and_taken_evenly(effml):
    said = []
    from effml.experiments.data import registry

    shapes = registry.load("deepbench").value
    for operator, count in (("gemm", 248), ("conv", 217), ("sparse_gemm", 32), ("rnn", 125)):
        mine = [shape for shape in shapes if shape.operator == operator]
        assert len(mine) == count
        everything = list(deepbench.listed(mine, operator, ["fp32"], "x", 0, 1e18))
        assert len({case.labels["shape"] for case in everything}) == len(everything) <= count
        few = list(deepbench.listed(mine, operator, ["fp32"], "x", 3, 1e18, say=said.append))
        works = sorted(case.flops for case in everything)
        assert [few[0].flops, few[-1].flops] == [works[0], works[-1]] and len(few) == 3
    assert len(said) == 4 and "3 of" in said[0]
    always = list(deepbench.listed([s for s in shapes if s.operator == "gemm"], "gemm", ["fp32", "bf16"], "x", 1, 1e6,
                                   always=("1760x16x1760",)))  # fmt: skip
    assert {"fp32", "bf16"} == {c.dtype for c in always if c.labels["shape"] == "1760x16x1760"}


@pytest.mark.parametrize(
    "count,expected", [(0, [0, 1, 2, 3, 4]), (1, [4]), (2, [0, 4]), (3, [0, 2, 4]), (9, [0, 1, 2, 3, 4])]
)
def test_spread_takes_the_ends(count, expected):
    assert deepbench.spread(list(range(5)), count) == expected


def test_an_odd_number_of_spiking_neurons_is_refused(effml):
    ended = effml("run", "accelerators", "suite=product", "product.neurons=7")
    assert ended.code == 2 and "product.neurons=7 cannot be halved" in ended.err


@pytest.mark.slow
def test_bf16_is_five_times_fp32_where_amx_is():
    from effml.experiments.core.provenance import cpu

    if "amx_bf16" not in cpu()["flags"]:
        pytest.skip("this CPU has no AMX")
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    low = (a.bfloat16(), b.bfloat16())
    timings = interleave({"fp32": lambda: a @ b, "bf16": lambda: low[0] @ low[1]}, rounds=9)
    assert timings["bf16"].speedup_over(timings["fp32"]).median >= 5
