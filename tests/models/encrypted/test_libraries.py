"""Both libraries against the plain network, on rings far too small to be secure."""

import sys

import numpy as np
import pytest

from effml.errors import MissingRequirement, UserError
from effml.models.encrypted.backend import LevelMismatch
from effml.models.encrypted.count import count
from effml.models.encrypted.libraries import library as library_of
from effml.models.encrypted.parameters import Parameters
from effml.models.encrypted.pyfhel import PyfhelBackend
from effml.models.encrypted.sealapi import SealApi
from tests.models.encrypted.networks import infer, laid_out, small_network

TOY = Parameters(2048, (50, 40, 40, 60), insecure=True)
LIBRARIES = {"sealapi": SealApi, "pyfhel": PyfhelBackend}


@pytest.fixture(scope="module", params=LIBRARIES)
def library(request):
    return LIBRARIES[request.param].client(TOY, {1, -3}, conjugate=False)


def test_both_libraries_give_the_plain_logits(seed):
    model = small_network(channels=(4, 4), strides=(1, 2), keeps=(1, 1), seed=seed)
    x = np.random.default_rng(seed).normal(size=(4, 3, 8, 5))
    found = {}
    for name, kind in LIBRARIES.items():
        program = laid_out(model, 2048, paired=False)
        found[name] = infer(program, kind.client(program.parameters, count(program).wanted, False), x)
    program = laid_out(model, 2048, paired=True)
    found["pairs"] = infer(program, SealApi.client(program.parameters, count(program).wanted, True), x)
    for logits in found.values():
        np.testing.assert_allclose(logits, model.forward(x), rtol=0, atol=1e-3)


def test_arithmetic_is_that_of_slots(library, seed):
    draw = np.random.default_rng(seed)
    x, y = draw.normal(size=(2, 1024))
    a, b = library.encrypt(x), library.encrypt(y)
    decrypted = {
        "add": (library.add(a, b), x + y),
        "subtract": (library.subtract(a, b), x - y),
        "negate": (library.negate(a), -x),
        "rotate": (library.rotate(a, 1), np.roll(x, -1)),
        "rotate back": (library.rotate(a, -3), np.roll(x, 3)),
        "product": (library.rescale(library.relinearise(library.mul(a, b))), x * y),
        "constant": (library.mul_plain(a, library.constant(-0.3, 2, 2.0**30)), -0.3 * x),
        "relabelled": (library.relabel(library.encrypt(x), a.scale * 4), x / 4),
        "dropped": (library.drop(a, 0), x),
    }
    for name, (cipher, expected) in decrypted.items():
        np.testing.assert_allclose(library.decrypt(cipher).real, expected, rtol=0, atol=1e-3, err_msg=name)


def test_the_books_agree_with_the_library(library, tmp_path):
    """A saved ciphertext is read back only if the library's own level and scale are those in the books."""
    x = library.encrypt(np.ones(1024))
    product = library.rescale(library.relinearise(library.mul(x, x)))
    library.save(product, tmp_path / "product")
    again = library.load(tmp_path / "product", product.level, product.scale)
    np.testing.assert_allclose(library.decrypt(library.add(again, product)).real, 2, atol=1e-4)


def test_operands_at_other_levels_or_scales_are_refused(library):
    x = library.encrypt(np.ones(1024))
    with pytest.raises(LevelMismatch, match="levels 2 and 1"):
        library.add(x, library.drop(x, 1))
    with pytest.raises(LevelMismatch, match="scales"):
        library.add(x, library.mul_plain(x, library.constant(1.0, 2, 2.0**20)))
    with pytest.raises(LevelMismatch, match="no key for a rotation by 2"):
        library.rotate(x, 2)


@pytest.mark.parametrize("kind", LIBRARIES.values(), ids=LIBRARIES)
def test_a_library_refuses_what_the_planner_would(kind):
    held = object.__new__(Parameters)
    for name, value in {"ring": 8192, "bits": (60, *[40] * 5, 60), "insecure": False}.items():
        object.__setattr__(held, name, value)
    with pytest.raises(UserError, match="SEAL refuses"):
        kind(held, ())


def test_pyfhel_cannot_conjugate():
    with pytest.raises(UserError, match="backend sealapi"):
        PyfhelBackend.client(TOY, {1}, conjugate=True)


@pytest.mark.parametrize(
    ("name", "module", "said"),
    [("pyfhel", "Pyfhel", "pip install Pyfhel==3.5.0"), ("sealapi", "tenseal.sealapi", "pip install tenseal")],
)
def test_an_absent_library_is_named_with_how_to_get_it(monkeypatch, name, module, said):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingRequirement, match=said):
        library_of(name)


def test_an_unknown_back_end_is_refused():
    with pytest.raises(UserError, match="no back end 'openfhe'; there are sealapi, pyfhel"):
        library_of("openfhe")
