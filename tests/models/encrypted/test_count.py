"""Operation counts against closed forms, at the size for which a prototype's counts are known."""

import math

import numpy as np
import pytest

from effml.models.encrypted.convolve import Split, best_split, splits
from effml.models.encrypted.count import count
from effml.models.encrypted.evaluate import evaluate_block
from effml.models.encrypted.fold import fold
from effml.models.encrypted.ledger import Ledger
from effml.models.encrypted.parameters import choose
from effml.models.encrypted.program import lay_out
from effml.models.encrypted.simulator import Counter
from effml.models.stgcn import plain_file

NTU = [(0, 1), (1, 20), (20, 2), (2, 3), (20, 4), (4, 5), (5, 6), (6, 7), (20, 8), (8, 9), (9, 10), (10, 11), (0, 12),
       (12, 13), (13, 14), (14, 15), (0, 16), (16, 17), (17, 18), (18, 19), (22, 7), (21, 7), (24, 11), (23, 11)]  # fmt: skip


def dense(channels, keeps, classes=10):
    """25 joints with the 73 edges of the published body, all weights present."""
    from effml.models.stgcn.graph import spatial_adjacency

    adjacency = spatial_adjacency(NTU, 20, 25)
    return plain_file.random(adjacency, (channels,) * 3, (1, 1, 1), keeps, classes, 64)


def test_one_block_of_the_published_body_takes_725_rotations_and_4768_products():
    """Babies 4 of 16 channels: V (3 + 3) + V (8 + 15) rotations, 73 C + 9 C V plaintext products."""
    network = fold(dense(16, (0, 1, 0)))
    program = lay_out(network, choose(network.levels), paired=False)
    stage = program.stages[1]
    assert stage.graph_split == Split(4, 4, 1, 1)
    stage.block.residual = None
    stage.temporal_split = Split(1, 16, 9, 1)
    counter = Counter(program.parameters, False)
    inputs = [[counter.drop(counter.fresh(), stage.level)] for _ in range(25)]
    counter.ledger = Ledger()
    evaluate_block(program, stage, counter, inputs)
    assert counter.ledger.rotations == 25 * (3 + 3) + 25 * (8 + 15) == 725
    assert counter.ledger.total("mul_plain") == 73 * 16 + 9 * 16 * 25 == 4768
    assert counter.ledger.total("mul") == counter.ledger.total("relinearise") == 25


@pytest.mark.parametrize("channels", [4, 8, 16])
def test_counts_of_a_network_with_one_node_a_ciphertext_equal_the_closed_form(channels):
    network = fold(dense(channels, (1, 0, 2), classes=3))
    program = lay_out(network, choose(network.levels), paired=False)
    held = count(program).ledger
    nodes, kept, rotations, products, encodes = 25, 64, 0, 0, 0
    for number, stage in enumerate(program.stages):
        into = 4 if number == 0 else channels
        graph, temporal = stage.graph_split, stage.temporal_split
        rotations += nodes * (graph.babies + graph.giants - 2 + temporal.babies + temporal.giants - 2)
        products += 73 * into
        products += nodes * 9 * channels + (nodes if number else 0)
        kinds = len({(stage.temporal_level(pair), bool(stage.block.second.active[pair[0]])) for pair in stage.targets})
        encodes += 73 * into + kinds * 9 * channels + (nodes if number else 0)
    head = program.head_split
    rotations += head.babies + head.giants - 2 + kept - 1
    products += channels
    assert held.rotations == rotations
    assert held.total("mul_plain") == products
    assert held.total("mul") == held.total("relinearise") == 3 * nodes
    quadratics = sum(int(b.first.active.sum() + b.second.active.sum()) for b in network.blocks)
    assert quadratics == 3 * nodes
    biases = 2 * 3 * nodes + 1
    assert held.total("encode") == encodes + channels + biases + quadratics
    assert held.total("rescale") == 2 * 3 * nodes + quadratics + 1


def test_splits_cover_every_shift_once():
    for split in splits(8, 9):
        shifts = {
            (small + giant * split.channel_babies, split.tap(baby, large))
            for small in range(split.channel_babies)
            for giant in range(split.channel_giants)
            for baby in split.baby_taps
            for large in split.giant_taps
        }
        assert shifts == {(channel, tap) for channel in range(8) for tap in range(-4, 5)}
    fewest = best_split(16, 9, lambda split: split.babies + split.giants)
    assert math.isclose(fewest.babies * fewest.giants, 144) and fewest.babies + fewest.giants == 24


def test_zero_weights_are_not_multiplied():
    model = dense(8, (0, 0, 0))
    model.blocks[1].temporal[:, :, :4] = 0
    network = fold(model)
    program = lay_out(network, choose(network.levels), paired=False)
    full = count(lay_out(fold(dense(8, (0, 0, 0))), program.parameters, paired=False)).ledger
    held = count(program).ledger
    assert full.total("mul_plain") - held.total("mul_plain") == 25 * 8 * 4
    assert np.count_nonzero(network.blocks[1].temporal) == 8 * 8 * 5
