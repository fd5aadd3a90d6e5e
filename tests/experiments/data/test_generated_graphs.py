"""Graphs that are generated: exact counts and degrees, determinism, and the statistics that their models promise."""

import pytest
import torch

from effml.errors import UserError
from effml.experiments.data import registry
from effml.experiments.data.graphs import TWINS, twins
from effml.experiments.data.graphs.drawing import draw, rank_weights, undirected

MAX_DEGREES = {"yelp": 4_886, "ppa": 3_241, "am": 154_828, "youtube": 28_754, "citation": 1_738, "arxiv": 13_155}


@pytest.mark.parametrize("name", TWINS)
def test_histograms_hold_the_published_counts(name):
    degree, rows = twins.histogram(f"twin-{name}")
    assert (int(rows.sum()), int((degree * rows).sum())) == TWINS[name]
    assert int(degree.max()) == MAX_DEGREES.get(name, int(degree.max()))


def test_arxiv_has_its_empty_rows():
    degree, rows = twins.histogram("twin-arxiv")
    assert int(rows[degree == 0].sum()) == 62_006


def test_twin_has_exactly_the_degrees_and_no_column_twice():
    loaded = registry.load("twin-pubmed")
    adjacency = loaded.value.adjacency
    degree, rows = twins.histogram("twin-pubmed")
    assert torch.equal(adjacency.degrees.sort().values, torch.repeat_interleave(degree, rows))
    assert not torch.equal(adjacency.degrees, adjacency.degrees.sort().values)
    step = adjacency.indices[1:] - adjacency.indices[:-1]
    inside = torch.ones(adjacency.nnz - 1, dtype=torch.bool)
    inside[adjacency.indptr[1:-1] - 1] = False
    assert (step[inside] > 0).all()
    popularity = torch.bincount(adjacency.indices.long(), minlength=adjacency.rows).double()
    assert torch.corrcoef(torch.stack((popularity, adjacency.degrees.double())))[0, 1] > 0.8


def test_rows_that_want_every_column_are_filled():
    count = torch.tensor([600, 599, *[3] * 598])
    adjacency = twins.twin(count, torch.Generator().manual_seed(0))
    assert torch.equal(adjacency.degrees, count)
    for row, wanted in enumerate(count[:3].tolist()):
        columns = adjacency.indices[adjacency.indptr[row] : adjacency.indptr[row + 1]]
        assert (columns.diff() > 0).all() and len(columns) == wanted


@pytest.mark.parametrize("name", ["am", "yeast", "youtube"])
def test_twin_at_a_small_scale_keeps_rows_and_mean_degree(name):
    graph = registry.load(f"twin-{name}", scale=0.01).value
    nodes, edges = TWINS[name]
    assert graph.num_nodes == round(nodes * 0.01) and graph.note == "scale 0.01"
    assert graph.num_edges == pytest.approx(edges * 0.01, rel=0.1)
    assert graph.num_edges == int(twins.degrees(f"twin-{name}", 0.01).sum())


def test_hub_that_wants_most_columns_gets_them_all_distinct():
    count = torch.tensor([50, 49, 1, 0] + [2] * 46)
    adjacency = twins.twin(count, torch.Generator().manual_seed(0))
    assert torch.equal(adjacency.degrees, count)
    assert adjacency.indices[:50].tolist() == list(range(50))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("chung-lu", {"n": 2_000, "edges": 20_000}),
        ("products-synthetic", {"scale": 0.002}),
        ("reddit-synthetic", {"scale": 0.01}),
        ("twin-artist", {"scale": 0.1}),
    ],
)
def test_seed_decides_every_bit(name, options):
    one, again, other = (registry.load(name, seed=seed, **options) for seed in (1, 1, 2))
    assert one.record == again.record and one.record["origin"] == "generated"
    assert one.record["sha256"] != other.record["sha256"]


def test_chung_lu_follows_its_weights():
    graph = registry.load("chung-lu", n=20_000, edges=400_000).value
    weights = rank_weights(20_000, 0.6, 10.0)
    popular = torch.bincount(graph.adjacency.indices.long(), minlength=20_000).sort(descending=True).values
    expected = 400_000 * weights / weights.sum()
    # Merging repeated edges thins the hubs, so the comparison begins below them.
    middle = slice(200, 2_000)
    assert popular[middle].sum() / expected[middle].sum() == pytest.approx(1, abs=0.05)
    assert 380_000 < graph.num_edges < 400_000
    assert not torch.equal(graph.adjacency.degrees.argsort(descending=True)[:50], torch.arange(50))


def test_reddit_synthetic_has_reddits_numbers_at_scale():
    graph = registry.load("reddit-synthetic", scale=0.02).value
    assert graph.num_nodes == round(232_965 * 0.02) and graph.num_edges == 2 * round(57_307_946 * 0.02)
    assert (graph.num_features, graph.num_classes) == (602, 41)
    shares = [float(mask.float().mean()) for mask in (graph.train, graph.val, graph.test)]
    assert shares == pytest.approx([0.6586, 0.1023, 0.2391], abs=1e-3)
    source, target = graph.edge_index
    assert (source != target).all()
    assert (graph.y[source] == graph.y[target]).float().mean() > 5 * (
        graph.y.bincount() / graph.num_nodes
    ).square().sum()
    means = torch.stack([graph.x[graph.train & (graph.y == c)].mean(0) for c in range(41)])
    alone = (graph.x[graph.test] @ means.T - means.square().sum(1) / 2).argmax(1)
    neighbours = graph.adjacency.to_torch() @ graph.x / graph.adjacency.degrees[:, None].clamp(min=1)
    pooled = (neighbours[graph.test] @ means.T - means.square().sum(1) / 2).argmax(1)
    accuracy = [float((found == graph.y[graph.test]).float().mean()) for found in (alone, pooled)]
    assert accuracy[0] < 0.7 and accuracy[1] > accuracy[0] + 0.1


@pytest.mark.parametrize(("name", "scale"), [("reddit-synthetic", 0), ("products-synthetic", 1.5), ("twin-am", -1)])
def test_scale_out_of_range_is_refused(name, scale):
    with pytest.raises(UserError, match=f"{name}: scale="):
        registry.load(name, scale=scale)


def test_too_many_edges_are_refused_and_do_not_hang():
    with pytest.raises(UserError, match="do not hold 60 distinct edges"):
        generator = torch.Generator().manual_seed(0)
        undirected(lambda n: tuple(torch.randint(10, (2, n), generator=generator)), 10, 60, "tiny")
    full = undirected(lambda n: tuple(torch.randint(10, (2, n), generator=torch.default_generator)), 10, 45, "tiny")
    assert len(full) == 45


def test_draw_is_proportional_to_the_weights(seed):
    weights = torch.tensor([0.0, 3.0, 0.0, 0.0, 1.0, 4.0, 0.0], dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    counts = torch.bincount(draw(weights.cumsum(0), 80_000, generator), minlength=7)
    assert counts[weights == 0].sum() == 0
    assert (counts / 10_000 - weights).abs().max() < 0.1
    inside = draw(weights.cumsum(0), 1_000, generator, low=3.0, high=4.0)
    assert (inside == 4).all()


@pytest.mark.slow
def test_reddit_synthetic_whole():
    graph = registry.load("reddit-synthetic").value
    assert (graph.num_nodes, graph.num_edges) == (232_965, 114_615_892)
    assert 13_000 < int(graph.adjacency.degrees.max()) < 17_000
    source, target = graph.edge_index
    assert 0.65 < float((graph.y[source] == graph.y[target]).float().mean()) < 0.8


@pytest.mark.slow
def test_chung_lu_of_the_kernel_benchmark():
    graph = registry.load("chung-lu").value
    assert graph.num_edges == pytest.approx(11_957_000, rel=1e-3)
    assert int(graph.adjacency.degrees.max()) == pytest.approx(8_562, rel=0.03)
