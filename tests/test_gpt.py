import copy
import math

import pytest
import torch

from dalib.nets.gpt import GPT
from dalib.streams import Streams, stream
from dalib.train import Training, Windows, fit

SHAPE = {"layers": 2, "width": 16, "heads": 2, "context": 12}


def network(repeats=1, **changes) -> GPT:
    generator = Streams(tuple(stream("weights", r) for r in range(repeats)))
    return GPT(30, repeats, **{**SHAPE, **changes}, generator=generator)


@pytest.fixture
def batch():
    return torch.randint(30, (1, 5, 13), generator=torch.Generator().manual_seed(4))


@pytest.fixture
def peer():
    """The published library's network of the same shape, without dropout."""
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=30, n_positions=12, n_embd=16, n_layer=2, n_head=2,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config).eval()


def copied(peer) -> GPT:
    """Our network with the weights of the other."""
    own, theirs = network(), peer.transformer
    pairs = [(own.tokens, theirs.wte.weight), (own.positions, theirs.wpe.weight)]
    norms = [(own.last, theirs.ln_f)]
    for block, other in zip(own.blocks, theirs.h, strict=True):
        norms += [(block.norm, other.ln_1), (block.norm2, other.ln_2)]
        affine = [
            (block.qkv, other.attn.c_attn),
            (block.out, other.attn.c_proj),
            (block.up, other.mlp.c_fc),
            (block.down, other.mlp.c_proj),
        ]
        pairs += [(a.weight, b.weight) for a, b in affine] + [(a.bias, b.bias) for a, b in affine]
    pairs += [(a.gain, b.weight) for a, b in norms] + [(a.bias, b.bias) for a, b in norms]
    with torch.no_grad():
        for mine, other in pairs:
            mine.copy_(other.view(mine.shape))
    return own


def test_logits_are_those_of_the_published_library(peer, batch):
    own = copied(peer)
    with torch.no_grad():
        expected = peer(batch[0, :, :-1]).logits
        found = own.logits(own(batch[..., :-1]))[0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_loss_and_gradient_are_those_of_the_published_library(peer, batch):
    own = copied(peer)
    logits = peer(batch[0, :, :-1]).logits
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[0, :, 1:].flatten())
    expected.backward()
    loss = own.loss(batch, 0.0, None)
    loss.sum().backward()
    torch.testing.assert_close(loss[0], expected)
    theirs = peer.transformer
    torch.testing.assert_close(own.tokens.grad[0], theirs.wte.weight.grad, rtol=1e-4, atol=1e-6)
    for block, other in zip(own.blocks, theirs.h, strict=True):
        found, wanted = block.qkv.weight.grad[0], other.attn.c_attn.weight.grad
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_at_first_every_token_is_about_as_likely(batch):
    assert network().loss(batch, 0.0, None).item() == pytest.approx(math.log(30), rel=0.02)


def test_products_in_bfloat16_change_loss_and_gradient_little(batch):
    single, low = network(), network(precision="bfloat16")
    low.load_state_dict(single.state_dict())
    losses = [n.loss(batch, 0.0, None).sum() for n in (single, low)]
    for loss in losses:
        loss.backward()
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=2e-3)
    for one, other in zip(single.parameters(), low.parameters(), strict=True):
        scale = one.grad.norm()
        assert (one.grad - other.grad).norm() <= 0.03 * scale


def test_no_token_sees_what_follows_it(batch):
    own = network()
    changed = batch.clone()
    changed[..., 8:] = (changed[..., 8:] + 1) % 30
    with torch.no_grad():
        before, after = own(batch[..., :12])[..., :8, :], own(changed[..., :12])[..., :8, :]
    assert torch.equal(before, after)


def test_repeats_at_once_are_what_each_is_alone(batch):
    both = network(repeats=2)
    loss = both.loss(batch.expand(2, -1, -1), 0.0, None)
    loss.sum().backward()
    for r in range(2):
        one = GPT(30, 1, **SHAPE, generator=Streams((stream("weights", r),)))
        alone = one.loss(batch, 0.0, None)
        alone.sum().backward()
        torch.testing.assert_close(loss[r], alone[0])
        torch.testing.assert_close(both.tokens.grad[r], one.tokens.grad[0], rtol=1e-4, atol=1e-7)


def test_dropout_follows_from_the_generator_alone(batch):
    own = network(dropout=0.3)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = own.loss(batch, 0.0, Streams((stream("a"),)))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(own.loss(batch, 0.0, Streams((stream("a"),))), first)
    assert not torch.equal(own.loss(batch, 0.0, Streams((stream("b"),))), first)
    report = own.report(batch, None)
    assert torch.equal(report["loss"], own.report(batch, None)["loss"])


def test_reports_are_means_over_the_window_and_over_its_second_half(batch):
    own = network()
    costs = own.costs(batch)
    report = own.report(batch, None)
    torch.testing.assert_close(report["loss"], own.loss(batch, 0.0, None).detach())
    torch.testing.assert_close(report["late_loss"], costs[..., 6:].mean((1, 2)))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_training_that_was_interrupted_ends_the_same(precision):
    series = torch.randint(30, (4, 60), generator=torch.Generator().manual_seed(2))
    draw = Windows(series, 13, 6, 1)
    training = Training(steps=8, rate=1e-3, clip=1.0, check_every=4)
    watched = {"training": draw(stream("watched"))}
    saved = {}

    def trained(steps_seen=None, resume=None):
        own, count = network(precision=precision), iter(range(1, 100))

        def save(state):
            if next(count) == 3:
                saved.update(copy.deepcopy(state()))

        fit(
            own, draw, training, watched=watched, save=None if resume else save, resume=resume,
            generator=Streams((stream("training"),)),
        )  # fmt: skip
        return own.state_dict()

    whole = trained()
    resumed = trained(resume=saved)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.slow
def test_the_network_of_the_paper_takes_two_steps_and_resumes_after_one():
    """The defaults: 12 layers of width 768, contexts of 1024; Lorenz's largest vocabulary.

    Three updates of one window in all, each of 6 x 90 M weights x 1024 tokens: 0.6 Tflop.
    """
    vocabulary = 5055
    series = torch.randint(vocabulary, (2, 2000), generator=torch.Generator().manual_seed(2))
    draw = Windows(series, 1025, 1, 1)
    training = Training(steps=2, rate=5e-5, clip=1.0, epsilon=1e-6, check_every=2)
    saved = {}

    def trained(resume=None):
        own = GPT(vocabulary, dropout=0.1, generator=stream("weights"))

        def save(state):
            if not saved:
                saved.update(copy.deepcopy(state()))

        history = fit(own, draw, training, save=save, resume=resume, generator=stream("training"))
        return own, history.loss

    whole, losses = trained()
    assert sum(p.numel() for p in whole.parameters()) == 85_056_000 + 768 * (vocabulary + 1024)
    assert losses.flatten().tolist() == pytest.approx([math.log(vocabulary)] * 2, rel=0.05)
    assert len(saved["losses"]) == 1
    resumed, again = trained(saved)
    assert torch.equal(again, losses)
    pairs = zip(whole.parameters(), resumed.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"width": 15}, "cannot be shared by 2 heads"), ({"precision": "int8"}, "unknown precision")],
)
def test_what_cannot_be_built_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        network(**changes)


def test_a_window_longer_than_the_context_is_refused(batch):
    with pytest.raises(ValueError, match="sees 12 tokens at most, got 13"):
        network()(batch)
