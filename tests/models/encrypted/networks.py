"""Small networks for tests of encrypted inference, and the way through one back end."""

from effml.models.encrypted.evaluate import evaluate
from effml.models.encrypted.fold import fold
from effml.models.encrypted.parameters import choose
from effml.models.encrypted.program import lay_out
from effml.models.stgcn import plain_file
from effml.models.stgcn.graph import spatial_adjacency

FORK = [(0, 1), (1, 2), (2, 3), (1, 4)]  # five joints, one of them with three neighbours


def small_network(channels=(4, 8, 8), strides=(1, 2, 1), keeps=(1, 0, 1), classes=5, frames=8, taps=9, seed=0):
    return plain_file.random(spatial_adjacency(FORK, 1, 5), channels, strides, keeps, classes, frames, 3, taps, seed)


def laid_out(model, ring, paired=True, scale_bits=40, end_bits=60):
    """A program on a ring far too small to be secure."""
    network = fold(model)
    return lay_out(network, choose(network.levels, scale_bits, end_bits, ring, insecure=True), paired)


def infer(program, backend, x):
    """Logits `[n, classes]` by a back end that holds the secret key."""
    packed = program.layout.pack(x, program.inputs)
    out = evaluate(program, backend, [[backend.encrypt(slots) for slots in groups] for groups in packed])
    return program.layout.read_logits([backend.decrypt(part) for part in out], len(program.network.head), len(x))
