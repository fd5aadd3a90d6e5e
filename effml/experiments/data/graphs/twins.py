"""`twin-NAME`: graphs with exactly the degrees of 16 graphs on which SpMM kernels are measured, at full size.

The degrees of the rows are those of the original, in random order; the columns of a row are distinct and, as in a
symmetric graph, popular in proportion to their own degrees. What a twin lacks is the original's locality, so that caches
serve it no better than chance.

`histograms/NAME.csv` (`degree,rows`) are facts decoded from the partition metadata published with Accel-GCN
(xiexi51/ICCAD-Accel-GCN at 7d889b0).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from effml.errors import UserError
from effml.experiments.data.entry import Content, Files
from effml.experiments.data.graphs.drawing import draw, ordered
from effml.experiments.data.graphs.graph import Graph
from effml.kernels.csr import Csr

HISTOGRAMS = Path(__file__).parent / "histograms"


def histogram(name: str) -> tuple[Tensor, Tensor]:
    """Degrees and how many rows have each, int64, of the graph behind `twin-NAME`."""
    path = next(path for path in HISTOGRAMS.glob("*.csv") if path.stem.lower() == name.removeprefix("twin-"))
    table = torch.from_numpy(np.loadtxt(path, dtype=np.int64, delimiter=",", skiprows=1, ndmin=2))
    return table[:, 0], table[:, 1]


def degrees(name: str, scale: float = 1.0) -> Tensor:
    """`[rows]` int64, ascending: the degrees of the rows, or of a share `scale` of the rows of each degree.

    Rounding carries over from one degree to the next, so that a share of all rows is kept and the rare large degrees are
    thinned like the others. A degree is at most the number of rows.
    """
    degree, rows = histogram(name)
    if not 0 < scale <= 1:
        raise UserError(f"data set {name}: scale={scale:g} is out of range; expected above 0, at most 1")
    upto = (rows.cumsum(0).double() * scale).round().long()
    kept = torch.repeat_interleave(degree, upto.diff(prepend=upto.new_zeros(1)))
    if not len(kept):
        raise UserError(f"data set {name}: scale={scale:g} leaves no row; expected at least {1 / int(rows.sum()):.1g}")
    return kept.clamp(max=len(kept))


def load(files: Files, scale: float = 1.0, seed: int = 0, device: str = "cpu") -> Content:
    """Args: `scale`, the share of the rows of each degree; `seed`; `device` whose generator draws."""
    name = files.data.name
    generator = torch.Generator(device=device).manual_seed(seed)
    ascending = degrees(name, scale).to(device)
    count = ascending[torch.randperm(len(ascending), generator=generator, device=device)]
    graph = Graph(name, twin(count, generator), note="" if scale == 1 else f"scale {scale:g}")
    told = (
        f"{graph.num_nodes:,} nodes, {graph.num_edges:,} edges; scale {scale:g}, seed {seed}, {generator.device.type}"
    )
    return Content(graph, graph.sha256(), told)


def twin(count: Tensor, generator: torch.Generator) -> Csr:
    """A square pattern whose row `i` has exactly `count[i]` distinct columns, drawn in proportion to `count`.

    Columns that a row drew twice are drawn again, uniformly after the first few rounds: a row that wants a large share
    of all columns would wait too long for unpopular ones. One that wants nearly all is at last given some that it lacks.
    """
    nodes, total = len(count), int(count.sum())
    indptr = torch.zeros(nodes + 1, dtype=torch.int64, device=count.device)
    torch.cumsum(count, 0, out=indptr[1:])
    cumulative = count.double().cumsum(0)
    rows = torch.repeat_interleave(torch.arange(nodes, device=count.device), count)
    keys = rows * nodes + draw(cumulative, total, generator)
    active = torch.arange(total, device=count.device)  # places in rows that may still hold a column twice
    for attempt in range(1000):
        # Sorting leaves each row its own stretch of places, so that `rows` goes on telling whose a key is.
        settled = ordered(keys[active])
        again = torch.zeros(len(active), dtype=torch.bool, device=count.device)
        torch.eq(settled[1:], settled[:-1], out=again[1:])
        keys[active] = settled
        if not again.any():
            break
        places = active[again]
        of = rows[places]
        if attempt < 3:
            columns = draw(cumulative, len(of), generator)
        else:
            columns = torch.randint(nodes, (len(of),), generator=generator, device=count.device)
        keys[places] = of * nodes + columns
        unsettled = torch.zeros(nodes, dtype=torch.bool, device=count.device)
        unsettled[of] = True
        active = active[unsettled[rows[active]]]
    else:
        for row in of.unique().tolist():
            first, end = int(indptr[row]), int(indptr[row + 1])
            drawn = (keys[first:end] - row * nodes).unique()
            lacks = (
                torch.ones(nodes, dtype=torch.bool, device=count.device).index_fill_(0, drawn, False).nonzero()[:, 0]
            )
            some = torch.randperm(len(lacks), generator=generator, device=count.device)[: end - first - len(drawn)]
            keys[first:end] = torch.cat([drawn, lacks[some]]).sort().values + row * nodes
    return Csr(indptr, (keys - rows * nodes).to(torch.int32), None, nodes)
