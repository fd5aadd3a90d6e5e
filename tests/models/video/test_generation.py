"""Video models: what they are trained on, how they are sampled, and that every way of sampling draws the same clip."""

import pytest
import torch
from torch.nn import functional as F

from effml.models.video.language_model import Shape, VideoModel, log_gammas
from effml.models.video.layout import SERIAL, Layout
from effml.models.video.masked import MaskedVideoModel
from effml.models.video.sampler import Choice, Sampler, draw

SMALL = Shape(width=32, layers=2, heads=2)
GREEDY = Choice(temperature=0)


def layout(serial="token", frames=4):
    return Layout(codes=11, words=6, text=3, patches=5, frames=frames, serial=serial)


def model(kind="retnet", serial="token"):
    return VideoModel(layout(serial), SMALL, kind).double().eval()


def clips(batch=3, frames=4):
    return torch.randint(6, (batch, 3)), torch.randint(11, (batch, frames, 5))


@pytest.mark.parametrize("serial", SERIAL)
@pytest.mark.parametrize("kind", ["retnet", "transformer"])
def test_losses_are_those_of_the_next_code(kind, serial):
    made, (text, codes) = model(kind, serial), clips()
    losses = made.token_losses(text, codes)
    ids = made.layout.sequence(text, codes)
    frame, patch = 2, 3
    place = made.layout.prefix + frame * made.layout.frame_tokens + (serial == "token") + patch
    logits = made(ids[:, :place])[:, -1]
    torch.testing.assert_close(
        losses[:, frame, patch], F.cross_entropy(logits, codes[:, frame, patch], reduction="none")
    )
    assert losses.shape == codes.shape


@pytest.mark.parametrize("kind", ["retnet", "transformer"])
def test_a_code_depends_on_nothing_after_it(kind):
    made, (text, codes) = model(kind), clips()
    changed = codes.clone()
    changed[:, 2, 3] = (changed[:, 2, 3] + 1) % 11
    before, after = made.token_losses(text, codes).flatten(1), made.token_losses(text, changed).flatten(1)
    torch.testing.assert_close(before[:, :13], after[:, :13], rtol=1e-12, atol=1e-12)
    assert not torch.allclose(before[:, 13:], after[:, 13:])


@pytest.mark.parametrize("serial", SERIAL)
@pytest.mark.parametrize("kind,cached", [("retnet", True), ("transformer", True), ("transformer", False)])
def test_greedy_sampling_takes_the_likeliest_code_of_a_full_pass(kind, cached, serial):
    made, (text, _) = model(kind, serial), clips()
    sampler = Sampler(made, cached)
    codes = sampler.generate(text, 4, GREEDY)
    assert codes.shape == (3, 4, 5) and int(codes.max()) < 11
    logits = made(made.layout.sequence(text, codes)[:, :-1])
    wanted = made.layout.targets(codes)
    best = logits.argmax(-1)[wanted >= 0]
    assert torch.equal(best, wanted[wanted >= 0])
    tokens = 4 * made.layout.frame_tokens
    assert sampler.passes == (tokens + 1 if cached else tokens), (
        "one for the caption, one for each code and serial number"
    )


def test_cache_or_not_draws_the_same_clip():
    made, (text, _) = model("transformer"), clips()
    drawn = [
        Sampler(made, cached).generate(text, 3, Choice(0.8), torch.Generator().manual_seed(5))
        for cached in (True, False)
    ]
    assert torch.equal(*drawn)


@pytest.mark.parametrize("kind", ["retnet", "transformer"])
def test_a_clip_continued_is_the_clip_generated_at_once(kind):
    made, (text, _) = model(kind), clips()
    sampler = Sampler(made)
    whole = sampler.generate(text, 4, Choice(), torch.Generator().manual_seed(1))
    session, generator = sampler.begin(text, 4), torch.Generator().manual_seed(1)
    parts = [sampler.extend(session, frames, Choice(), generator) for frames in (1, 2, 1)]
    assert torch.equal(torch.cat(parts, 1), whole) and session.frames == 4


def test_retnet_continues_without_having_been_told_how_far():
    made, (text, _) = model(), clips()
    sampler = Sampler(made)
    session = sampler.begin(text)
    size = session.state.nbytes
    parts = torch.cat([sampler.extend(session, 1, GREEDY) for _ in range(4)], 1)
    assert torch.equal(parts, sampler.generate(text, 4, GREEDY)) and session.state.nbytes == size


@pytest.mark.parametrize("kind", ["retnet", "transformer"])
def test_shown_frames_are_continued(kind):
    made, (text, codes) = model(kind), clips(frames=2)
    sampler = Sampler(made)
    session = sampler.begin(text, 2, shown=codes)
    more = sampler.extend(session, 2, GREEDY)
    logits = made(made.layout.sequence(text, torch.cat([codes, more], 1))[:, :-1])
    best = logits.argmax(-1)[made.layout.targets(torch.cat([codes, more], 1)) >= 0].view(3, 4, 5)
    assert torch.equal(best[:, 2:], more)


def test_one_reading_of_a_caption_serves_many_draws():
    made, (text, _) = model(), clips()
    sampler = Sampler(made)
    session = sampler.begin(text)
    many = sampler.extend(session.copy(4), 2, Choice(), torch.Generator().manual_seed(0))
    again = sampler.generate(text.repeat_interleave(4, 0), 2, Choice(), torch.Generator().manual_seed(0))
    assert torch.equal(many, again) and session.frames == 0


def test_truncated_draws():
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]]).expand(4000, -1)
    seen = lambda choice: sorted(draw(logits, choice, torch.Generator().manual_seed(0)).unique().tolist())  # noqa: E731
    assert seen(Choice()) == [0, 1, 2, 3]
    assert seen(Choice(top_k=2)) == [0, 1] and seen(Choice(temperature=0)) == [0]
    assert seen(Choice(top_p=0.6)) == [0] and seen(Choice(top_p=0.7)) == [0, 1], "the likeliest alone has 0.64"
    share = (draw(logits, Choice(temperature=0.5), torch.Generator().manual_seed(0)) == 0).double().mean()
    assert abs(share - torch.softmax(2 * logits[0].double(), 0)[0]) < 0.03


def test_impossible_requests_are_named():
    made, (text, _) = model(), clips()
    with pytest.raises(ValueError, match="0 frames cannot be generated"):
        Sampler(made).generate(text, 0)
    with pytest.raises(ValueError, match="9 frames are more than the 4"):
        Sampler(made).generate(text, 9)
    with pytest.raises(ValueError, match="keeps a state instead of a cache"):
        Sampler(made, cached=False)
    with pytest.raises(ValueError, match="1 to 4"):
        MaskedVideoModel(layout(), SMALL).generate(text, 5)


def test_without_serial_numbers_there_is_no_last_frame():
    made, (text, _) = model(serial="none"), clips()
    assert Sampler(made).generate(text, 9, GREEDY).shape == (3, 9, 5)


def test_parameter_counts_are_within_five_per_cent():
    big = Layout(codes=256, words=20, text=5, patches=16, frames=8)
    shape = Shape(width=128, layers=4, heads=4)
    counts = [VideoModel(big, shape, kind).parameters_count for kind in ("retnet", "transformer")]
    counts.append(MaskedVideoModel(big, shape).parameters_count)
    assert max(counts) / min(counts) < 1.05


def test_unknown_decay_is_refused():
    with pytest.raises(ValueError, match="decay 'slow'"):
        log_gammas(layout(), Shape(decay="slow"))


class TestMasked:
    def test_fills_in_every_code_in_as_many_passes_as_rounds(self):
        made, (text, _) = MaskedVideoModel(layout(), SMALL).eval(), clips()
        passes = []
        made.register_forward_hook(lambda *_: passes.append(1))
        codes = made.generate(text, 4, rounds=6, generator=torch.Generator().manual_seed(0))
        assert codes.shape == (3, 4, 5) and int(codes.min()) >= 0 and int(codes.max()) < 11 and len(passes) == 6

    def test_sees_both_ways_but_never_a_masked_code(self):
        made, (text, codes) = MaskedVideoModel(layout(), SMALL).eval(), clips()
        hidden = codes.clone()
        hidden[:, 1, 2] = made.mask
        changed = hidden.clone()
        changed[:, 3, 4] = (changed[:, 3, 4] + 1) % 11
        assert not torch.allclose(made(text, hidden)[:, 1, 2], made(text, changed)[:, 1, 2])

    def test_learns_one_clip_by_heart(self):
        torch.manual_seed(0)
        made, (text, codes) = MaskedVideoModel(layout(), SMALL), clips(batch=1)
        optimizer = torch.optim.AdamW(made.parameters(), 3e-3)
        for _ in range(60):
            loss = made.loss(text.expand(16, -1), codes.expand(16, -1, -1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        drawn = made.eval().generate(text, 4, temperature=0.1)
        assert (drawn == codes).double().mean() > 0.9
