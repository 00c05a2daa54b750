"""Ordinary modules, trained several at once or one after the other."""

import copy

import pytest
import torch
from torch import nn

from dalib import replicates
from dalib.streams import lent, normal, stream, streams
from dalib.train import Training, Windows

SEEDS = (0, 1, 2)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.LSTM(2, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x):
        return self.out(self.cell(x)[0])


def dense():
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))


def dropping():
    return nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 2))


KINDS = {"dense": dense, "recurrent": Recurrent, "dropping": dropping}


def error(module, x):
    """(window, time, 2) -> mean square error of the next value."""
    x = x.float()
    return (module(x[:, :-1]) - x[:, 1:]).square().mean()


def series(seed):
    return normal((1, 80, 2), stream("series", seed)).cumsum(1) / 10


def trained(kind, seeds=SEEDS, steps=12, **options):
    generator = streams("replicates", seeds, "training")
    modules = replicates.made(KINDS[kind], generator)
    valid = [series(f"valid {seed}").unfold(1, 10, 10)[0].mT for seed in seeds]
    histories = replicates.train(
        modules,
        error,
        [Windows(series(seed), length=10, batch=4, repeats=1) for seed in seeds],
        Training(steps, 0.02, clip=1.0, check_every=3, best_by="valid_loss"),
        watched={"valid": valid},
        generator=generator,
        **options,
    )
    return modules, histories


def weights(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


@pytest.mark.parametrize("kind", KINDS)
def test_a_replicate_does_not_depend_on_what_is_trained_beside_it(kind):
    modules, histories = trained(kind)
    assert len({tuple(weights(module).tolist()) for module in modules}) == len(SEEDS)
    for module, history, seed in zip(modules, histories, SEEDS, strict=True):
        (alone,), (own,) = trained(kind, (seed,))
        # one after the other is the same computation, side by side the same up to round-off
        limits = {"rtol": 1e-4, "atol": 1e-6} if kind == "dense" else {"rtol": 0, "atol": 0}
        torch.testing.assert_close(weights(module), weights(alone), **limits)
        torch.testing.assert_close(history.loss, own.loss, **limits)
        assert history.loss.shape == (1, 12)
        assert history.reports["valid_loss"].shape == (1, 5)


@pytest.mark.parametrize("kind", KINDS)
def test_training_lowers_the_loss_and_leaves_the_global_generator(kind):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    _, histories = trained(kind, steps=150)
    assert torch.equal(torch.get_rng_state(), state)
    for history in histories:
        assert history.loss[0, -20:].mean() < 0.7 * history.loss[0, :5].mean()


def test_modules_are_mapped_where_that_is_possible(monkeypatch):
    sizes = []
    loss = replicates.Replicates.loss

    def watched(self, batch, *others):
        sizes.append(len(batch))
        return loss(self, batch, *others)

    monkeypatch.setattr(replicates.Replicates, "loss", watched)
    for kind, expected in (("dense", {3}), ("recurrent", {1}), ("dropping", {1})):
        sizes.clear()
        trained(kind)
        assert set(sizes[1:]) == expected, kind  # the first tries to map


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [7, 20])
def test_a_training_continues_as_if_it_had_not_stopped(kind, steps):
    saved = []
    whole, histories = trained(kind, save=lambda state: saved.append(copy.deepcopy(state())))
    if steps > len(saved):  # side by side there are 12 steps in all, else 12 of each
        return
    continued, again = trained(kind, resume=saved[steps - 1])
    for a, b in zip(whole, continued, strict=True):
        assert torch.equal(weights(a), weights(b))
    for a, b in zip(histories, again, strict=True):
        assert torch.equal(a.loss, b.loss) and torch.equal(a.checks, b.checks)


def test_what_was_saved_of_another_training_is_left_aside(caplog):
    saved = []
    trained("recurrent", save=lambda state: saved.append(copy.deepcopy(state())))
    plain, _ = trained("recurrent", steps=9)
    other, _ = trained("recurrent", steps=9, resume=saved[20])
    assert all(torch.equal(weights(a), weights(b)) for a, b in zip(plain, other, strict=True))
    assert "of another training; starts from the beginning" in caplog.text


def test_modules_end_with_the_weights_of_least_watched_loss():
    modules, histories = trained("dense")
    for seed, module, history in zip(SEEDS, modules, histories, strict=True):
        valid = series(f"valid {seed}").unfold(1, 10, 10)[0].mT
        with torch.no_grad():
            found = error(module, valid).item()
        assert found == pytest.approx(history.reports["valid_loss"].min().item(), rel=1e-5)


def test_an_error_of_the_loss_is_not_taken_for_a_missing_rule():
    modules = [nn.Linear(3, 2) for _ in range(2)]
    draws = [Windows(series(0), 10, 4, 1)] * 2
    with pytest.raises(RuntimeError, match="shapes|size"):
        replicates.train(
            modules, error, draws, Training(2, 0.1), generator=streams("e", (0, 1), "training")
        )


def test_numbers_of_modules_and_streams_agree():
    with pytest.raises(ValueError, match="got 1 modules, 1 draws and 2 streams"):
        replicates.train(
            [dense()],
            error,
            [Windows(series(0), 10, 4, 1)],
            Training(2, 0.1),
            generator=streams("e", (0, 1), "training"),
        )


def test_a_lent_generator_goes_on_and_the_global_one_does_not():
    one, twin = stream("lent"), stream("lent")
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with lent(one):
        drawn = torch.cat([torch.rand(3), torch.rand(2)])
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(drawn, torch.rand(5, generator=twin))
    assert torch.equal(torch.rand(2, generator=one), torch.rand(2, generator=twin))
