"""The experiment end to end, its baselines against float64, its variants against one another."""

from pathlib import Path

import pytest
import torch

from effml.experiments.accel_gcn import gcn
from effml.experiments.accel_gcn.ablation import FULL, variants
from effml.experiments.accel_gcn.config import EXPERIMENT, PROVIDERS, TWINS, Config, GraphData
from effml.experiments.accel_gcn.exact import exact
from effml.experiments.accel_gcn.providers import providers, torch_into
from effml.experiments.core.paper import published
from effml.kernels.spmm.partition import PUBLISHED, partition
from tests.kernels.spmm.cases import heavy_tailed
from tests.triton_aot import check_interpreted, interpreted_tests

INTERPRETED = Path(__file__).with_name("interpreted_baselines.py")


_rows: dict[str, dict] = {}


@pytest.fixture
def row(effml):
    """The row of one smoke run, which the tests share."""
    if not _rows:
        _rows["smoke"] = effml.row("accel_gcn", "--preset", "smoke")
    return _rows["smoke"]


def cells(row, table, metric, **labels):
    found = [m for m in row["measurements"] if m["table"] == table and m["metric"] == metric]
    return [m for m in found if all(m["labels"].get(key) == value for key, value in labels.items())]


def test_smoke_measures_every_graph_by_every_provider(row):
    assert row["status"] == "ok" and row["preset"] == "smoke"
    for graph in ("pubmed", "arxiv"):
        speedups = {m["labels"]["provider"]: m["value"] for m in cells(row, "kernel", "speedup", graph=graph, d=16)}
        assert set(speedups) == set(PROVIDERS) and speedups["torch"] == 1
        assert all(
            m["evidence"] == "synthetic-data" and m["samples"] for m in cells(row, "kernel", "speedup", d=16)[:2]
        )
    assert all(m["value"] <= 1e-5 for m in cells(row, "roofline", "error_max"))
    assert {table.id for table in EXPERIMENT.tables} == {m["table"] for m in row["measurements"]}


def test_means_are_geometric_over_the_graphs(row):
    mean = cells(row, "kernel", "speedup", graph="geometric mean", d=16, provider="effml")[0]["value"]
    a, b = (cells(row, "kernel", "speedup", graph=g, d=16, provider="effml")[0]["value"] for g in ("pubmed", "arxiv"))
    assert mean == pytest.approx((a * b) ** 0.5)


def test_partition_is_counted_at_full_size_whatever_the_scale(row):
    counted = {m["labels"]["graph"]: m["value"] for m in cells(row, "partition", "blocks")}
    assert counted == {"pubmed": 1716, "arxiv": 10782}
    assert cells(row, "partition", "groups_64", graph="pubmed")[0]["value"] == 19753
    shares = [m["value"] for m in cells(row, "partition", "metadata_share")]
    assert all(0.083 <= share <= 0.095 for share in shares)


@pytest.mark.parametrize("d", [1, 33])
def test_every_provider_multiplies_rightly(d):
    adj = heavy_tailed(400, 300, hub=5000)
    x = torch.randn(300, d)
    truth = exact(adj, x)
    calls = providers(adj, torch.float32, PROVIDERS)
    assert set(calls) == set(PROVIDERS)
    for name, call in calls.items():
        assert truth.error(call(x)) < 2e-6, name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_halves_have_a_baseline_where_torch_multiplies_none(dtype):
    adj = heavy_tailed(400, 300, hub=5000)
    x = torch.randn(300, 33).to(dtype)
    calls, given = providers(adj, dtype, PROVIDERS), torch.empty(400, 33, dtype=dtype)
    assert set(calls) == {"effml", "torch"}
    torch_into(adj, x, given)()
    truth = exact(adj, x)
    for product in (*(call(x) for call in calls.values()), given):
        assert product.dtype == dtype and truth.error(product) < torch.finfo(dtype).eps


def test_errors_see_one_wrong_number_and_one_missing():
    adj, x = heavy_tailed(40, 30), torch.randn(30, 3)
    truth = exact(adj, x)
    right = truth.product.float()
    assert truth.error(right) < 1e-6
    row = int(adj.degrees.argmax())
    for wrong in (float("nan"), float(right[row, 1]) + float(truth.scale[row, 1])):
        y = right.clone()
        y[row, 1] = wrong
        assert truth.error(y) > 0.9
    empty = int(adj.degrees.argmin())
    y = right.clone()
    y[empty] = 1e-30
    assert adj.degrees[empty] == 0 and truth.error(y) == float("inf")
    assert truth.error(right[:-1]) == float("inf")


@pytest.mark.parametrize("d", [1, 64])
def test_variants_differ_in_time_alone(d):
    adj, x = heavy_tailed(300, 200, hub=3000), torch.randn(200, d)
    calls = variants(adj, x)
    expected = calls[FULL]().clone()
    order = partition(adj, PUBLISHED).order.long()
    for name, call in calls.items():
        want = expected[order] if name == "sorted by degree" else expected
        torch.testing.assert_close(call(), want, rtol=1e-5, atol=1e-4)


def test_aggregations_have_one_gradient():
    adj = heavy_tailed(60, 60)
    weighted = adj.with_values(torch.rand(adj.nnz))
    h = torch.randn(60, 5, requires_grad=True)
    ways = gcn.aggregations(weighted)
    gradients = {name: torch.autograd.grad(way(h).square().sum(), h)[0] for name, way in ways.items()}
    for gradient in gradients.values():
        torch.testing.assert_close(gradient, gradients["pyg messages"], rtol=1e-4, atol=1e-4)


def test_large_graphs_are_scaled_and_real_ones_never():
    config = Config(max_edges=1_000_000)
    assert config.scale("pubmed") == 1 and config.scale("ppa") == pytest.approx(1e6 / 42_463_862, abs=5e-4)
    assert config.scale("reddit") == 1 and config.scale("reddit-synthetic") == 0.01
    assert Config(max_edges=1000).scale("products-synthetic") == 0.001, "never nothing"
    assert Config(dataset=GraphData(name="twin-am")).named(["yelp"]) == ["am"]


def test_published_figures_stand_in_cells_that_runs_can_fill():
    numbers = published("accel_gcn")
    graphs = {entry.labels["graph"] for entry in numbers if entry.table == "kernel"}
    assert graphs >= set(TWINS) and len(graphs) == 16 + 2 + 1
    for entry in numbers:
        table = EXPERIMENT.table(entry.table)
        assert entry.metric in table.metrics
        assert set(entry.labels) == {*table.rows, *(() if table.columns == "metric" else (table.columns,))}


@pytest.mark.parametrize("name", interpreted_tests(INTERPRETED))
def test_gpu_baselines_interpreted(name):
    check_interpreted(INTERPRETED, name)


def test_graphs_of_ones_own_keep_their_names(effml, tmp_path):
    (tmp_path / "mine.txt").write_text("".join(f"{i} {(i * 7 + 1) % 40}\n{i} {(i + 3) % 40}\n" for i in range(40)))
    words = ["dataset=file", f"dataset.path={tmp_path / 'mine.txt'}", "suite=kernel", "widths=[4]"]
    graphs = {
        m["labels"]["graph"] for m in cells(effml.row("accel_gcn", "--preset", "smoke", *words), "kernel", "speedup")
    }
    assert graphs == {"mine.txt"}
