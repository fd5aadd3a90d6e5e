"""Words, layouts and codebooks: what goes into a sequence comes out again, and what cannot go in is named."""

import math

import pytest
import torch

from effml.models.video.codebook import PatchCodebook, perplexity
from effml.models.video.layout import IGNORE, Layout
from effml.models.video.vocabulary import UnknownWord, Vocabulary
from effml.models.video.vqgan import VQTokenizer


def test_captions_are_padded_on_the_left():
    words = Vocabulary.of(["a seven moving up", "a one moving down left"])
    assert words.words == ["a", "down", "left", "moving", "one", "seven", "up"] and len(words) == 8
    assert words.encode(["A seven moving up", ""]).tolist() == [[0, 1, 6, 4, 7], [0, 0, 0, 0, 0]]


def test_unknown_words_are_named_with_the_nearest():
    words = Vocabulary.of(["a seven moving up", "a one moving down"])
    with pytest.raises(UnknownWord, match="'sevn'; did you mean seven"):
        words.encode(["a sevn moving up"])
    with pytest.raises(UnknownWord, match="'zebra'; it knows a, down"):
        words.encode(["a zebra moving up"])
    with pytest.raises(UnknownWord, match="has 5 words"):
        words.encode(["a one moving up up"])


CODES = torch.tensor([[[3, 1], [2, 0]]])  # one clip of two frames of two codes
TEXT = torch.tensor([[0, 4]])


def layout(serial):
    return Layout(codes=5, words=6, text=2, patches=2, frames=3, serial=serial)


def test_sequence_with_serial_tokens():
    made = layout("token")
    bos, first = 5 + 6 + 3, 5 + 6
    assert made.sequence(TEXT, CODES).tolist() == [[bos, 5, 9, first, 3, 1, first + 1, 2, 0]]
    assert made.targets(CODES).tolist() == [[IGNORE, IGNORE, IGNORE, 3, 1, IGNORE, 2, 0]]
    assert made.frame_of(0, 9).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert made.place_of(0, 9).tolist() == [0, 0, 0, 1, 2, 3, 1, 2, 3]
    assert made.frame_of(5, 3).tolist() == [1, 2, 2] and made.place_of(5, 3).tolist() == [3, 1, 2]
    assert made.length(2) == 9 and made.frame_tokens == 3


@pytest.mark.parametrize("serial", ["none", "embedding"])
def test_sequence_without_serial_tokens(serial):
    made = layout(serial)
    assert made.sequence(TEXT, CODES).tolist() == [[14, 5, 9, 3, 1, 2, 0]]
    assert made.targets(CODES).tolist() == [[IGNORE, IGNORE, 3, 1, 2, 0]]
    assert made.frame_of(0, 7).tolist() == [0, 0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("serial", ["none", "token", "embedding"])
def test_every_code_is_a_target_once_at_the_token_before_it(serial):
    made = layout(serial)
    ids, targets = made.sequence(TEXT, CODES), made.targets(CODES)
    wanted = targets != IGNORE
    assert targets[wanted].tolist() == CODES.flatten().tolist()
    assert torch.equal(ids[:, 1:][wanted], targets[wanted])


def test_sequences_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="4 frames of 2 codes do not fit"):
        layout("token").sequence(TEXT, CODES.repeat(1, 2, 1))
    with pytest.raises(ValueError, match="serial 'clock'"):
        layout("clock")


def test_codebook_finds_the_patches_it_was_made_of():
    centres = torch.rand(12, 2 * 3 * 3)
    codes = torch.randint(12, (40, 4, 5))
    book = PatchCodebook(centres, 2, 3)
    assert book.decode(codes).shape == (40, 2, 12, 15) and book.grid(12, 15) == (4, 5)
    assert torch.equal(book.encode(book.decode(codes)), codes)
    frame = book.decode(codes[:1])[0]
    torch.testing.assert_close(frame[:, 3:6, 6:9], centres[codes[0, 1, 2]].view(2, 3, 3))


def test_fitted_codebook_recovers_its_patches():
    centres = torch.rand(10, 16)
    codes = torch.randint(10, (200, 2, 2))
    noisy = PatchCodebook(centres, 1, 4).decode(codes) + 0.01 * torch.randn(200, 1, 8, 8)
    book = PatchCodebook.fit(noisy, 10, 4)
    error = (book.decode(book.encode(noisy)) - noisy).square().mean().sqrt()
    assert error < 0.012, "the noise, and no cluster split or merged"


def test_codebook_refuses_what_it_cannot_encode():
    with pytest.raises(ValueError, match="do not divide"):
        PatchCodebook(torch.rand(4, 16), 1, 4).encode(torch.rand(1, 1, 10, 8))
    with pytest.raises(ValueError, match="1 distinct patches cannot make 4 codes"):
        PatchCodebook.fit(torch.zeros(3, 1, 8, 8), 4, 4)


def test_perplexity_counts_codes_in_even_use():
    assert math.isclose(perplexity(torch.arange(8).repeat(5), 16), 8)
    assert math.isclose(perplexity(torch.zeros(9, dtype=torch.long), 16), 1)


@pytest.fixture(scope="module")
def bars():
    """Frames of a bright bar at one of four places and of one of two brightnesses."""
    frames = torch.zeros(32, 1, 8, 8)
    for index in range(32):
        frames[index, 0, :, 2 * (index % 4) : 2 * (index % 4) + 2] = 1.0 if index % 8 < 4 else 0.5
    return frames


def test_vq_tokenizer_learns_to_rebuild(bars):
    torch.manual_seed(0)
    model = VQTokenizer(1, codes=16, stride=4, width=16)
    assert model.grid(8, 8) == (2, 2) and model.encode(bars).shape == (32, 2, 2)
    losses = model.fit([bars] * 50, rate=1e-2)
    rebuilt = model.decode(model.encode(bars))
    assert rebuilt.shape == bars.shape
    assert (rebuilt - bars).square().mean() < 0.3 * bars.var() and losses[-1] < losses[0]
    assert perplexity(model.encode(bars), 16) > 2, "the codebook has not collapsed"


def test_vq_loss_moves_codebook_and_encoder_by_their_own_terms(bars):
    """The encoder gets a gradient through the codes (straight through), the codebook only its distance to them."""
    model = VQTokenizer(1, codes=8, stride=4, width=16)
    model.loss(bars).backward()
    grads = {name: weight.grad for name, weight in model.net.named_parameters() if weight.grad is not None}
    assert grads["encoder.conv_in.weight"].abs().sum() > 0
    h = model.net.encode(bars * 2 - 1).latents.detach()
    codes = model.encode(bars)
    table = model.net.quantize.embedding.weight
    expected = torch.zeros_like(table)
    difference = 2 * (table[codes] - h.permute(0, 2, 3, 1)) / h.numel()
    expected.index_add_(0, codes.flatten(), difference.flatten(0, 2).detach())
    torch.testing.assert_close(grads["quantize.embedding.weight"], expected)


def test_vq_stride_must_be_a_power_of_two():
    with pytest.raises(ValueError, match="stride 3"):
        VQTokenizer(1, 8, stride=3)
