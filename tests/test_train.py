"""The training loop on models whose answer is known."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from dalib.nets.scaling import Scaling
from dalib.streams import normal, stream, streams
from dalib.train import Draws, Training, Windows, clip_gradients, fit

SEEDS = (0, 1)


class Mean(nn.Module):
    """One number per repeat, drawn to the mean of the batch."""

    def __init__(self, repeats=2, start=0.0):
        super().__init__()
        self.value = nn.Parameter(torch.full((repeats, 1), start))

    def loss(self, batch, fraction, generator):
        return (batch[..., 0].float() - self.value).square().mean(1)

    def report(self, batch, generator):
        noise = normal((len(self.value),), generator, torch.float32)
        return {"loss": self.loss(batch, 1.0, generator).detach(), "noise": noise}


def draws(repeats=2):
    states = 4 + normal((1000, 1), stream("states"))
    return Draws(states, batch=16, noise_std=torch.zeros(repeats))


def batches(seeds=SEEDS):
    return streams("train", seeds, "batches")


def test_training_finds_the_mean():
    model = Mean()
    history = fit(model, draws(), Training(400, 0.1), generator=batches())
    mean = draws().states.mean().item()
    # the rate ends at 1e-3: an average over many batches of 16
    assert model.value.flatten().tolist() == pytest.approx([mean] * 2, abs=0.15)
    assert history.loss.shape == (2, 400)
    assert history.checks.tolist() == list(range(0, 401, 50))


def test_repeats_trained_together_are_repeats_trained_alone():
    together = Mean()
    fit(together, draws(), Training(50, 0.1, clip=0.5, average=0.9), generator=batches())
    for r, seed in enumerate(SEEDS):
        alone = Mean(1)
        fit(
            alone,
            draws(1),
            Training(50, 0.1, clip=0.5, average=0.9),
            generator=batches((seed,)),
        )
        torch.testing.assert_close(together.value[r : r + 1], alone.value, rtol=1e-5, atol=1e-6)


def test_adam_takes_the_steps_of_torch():
    model, twin = Mean(1), nn.Parameter(torch.zeros(1, 1))
    optimiser = torch.optim.Adam([twin], lr=0.1)
    generator = batches((0,))
    for step in range(20):
        optimiser.param_groups[0]["lr"] = Training(20, 0.1).rate_at(step)
        optimiser.zero_grad()
        (draws(1)(generator)[..., 0].float() - twin).square().mean().backward()
        optimiser.step()
    fit(model, draws(1), Training(20, 0.1), generator=batches((0,)))
    torch.testing.assert_close(model.value, twin)


def test_rate_rises_stays_and_falls_as_a_half_cosine():
    training = Training(101, 2.0, warmup=10, flat=0.5, last=0.01)
    rates = [training.rate_at(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9:51] == pytest.approx([2.0] * 42)
    assert all(later < earlier for earlier, later in zip(rates[50:], rates[51:], strict=False))
    middle = 50.5 + (100 - 50.5) / 2
    floor = int(middle)
    assert (rates[floor] + rates[floor + 1]) / 2 == pytest.approx(2 * (0.01 + 0.99 / 2), rel=0.02)
    assert rates[-1] == pytest.approx(0.02)


def test_gradients_are_clipped_for_each_repeat_by_its_norm_over_all_parameters():
    parameters = [nn.Parameter(torch.zeros(3, 4)), nn.Parameter(torch.zeros(3, 2, 2))]
    for p in parameters:
        p.grad = torch.ones_like(p) * torch.tensor([0.0, 1.0, 10.0]).view(3, *[1] * (p.ndim - 1))
    norms = clip_gradients(parameters, 5.0)
    assert norms.tolist() == pytest.approx([0, math.sqrt(8), 10 * math.sqrt(8)])
    clipped = torch.cat([p.grad.flatten(1) for p in parameters], 1).norm(dim=1)
    assert clipped.tolist() == pytest.approx([0, math.sqrt(8), 5])


def test_final_weights_are_exponential_averages():
    path = []

    class Recorded(Mean):
        def loss(self, batch, fraction, generator):
            path.append(self.value.detach().clone())
            return super().loss(batch, fraction, generator)

    model, last = Recorded(), Mean()
    fit(model, draws(), Training(6, 0.3, average=0.7), generator=batches())
    fit(last, draws(), Training(6, 0.3), generator=batches())
    values = torch.stack([*path[1:], last.value.detach()])  # after each update
    weights = 0.7 ** torch.arange(len(values) - 1, -1, -1)
    average = torch.einsum("s,s...->...", weights / weights.sum(), values)
    torch.testing.assert_close(model.value.detach(), average)


def test_a_short_training_is_averaged_without_its_first_weights():
    model = Mean()
    fit(model, draws(), Training(100, 0.3, average=0.995), generator=batches())
    last = Mean()
    fit(last, draws(), Training(100, 0.3), generator=batches())
    assert (model.value - last.value).abs().max() < 0.5 * last.value.abs().max()


def test_watching_changes_nothing():
    plain, watched = Mean(), Mean()
    fit(plain, draws(), Training(30, 0.1, check_every=7), generator=batches())
    history = fit(
        watched,
        draws(),
        Training(30, 0.1, check_every=4),
        watched={"held_out": draws()(batches())},
        generator=batches(),
    )
    assert torch.equal(plain.value, watched.value)
    assert history.reports["held_out_loss"].shape == (2, 9)  # 0, 4 ... 28, 30
    # data were averaged to 4 ± 1: the loss falls from 4² + 1 to the variance
    assert history.reports["held_out_loss"][:, 0].min() > 10


def test_training_continues_from_a_checkpoint_as_if_it_had_not_stopped():
    training = Training(40, 0.1, average=0.9, clip=1.0, check_every=10)
    whole, saved = Mean(), []
    history = fit(
        whole,
        draws(),
        training,
        watched={"train": draws()(batches())},
        save=lambda state: saved.append(copy.deepcopy(state())),
        generator=batches(),
    )
    continued = Mean(start=99.0)
    second = fit(
        continued,
        draws(),
        training,
        watched={"train": draws()(batches())},
        resume=saved[19],
        generator=batches((7, 8)),
    )
    assert len(saved[19]["losses"]) == 20
    assert torch.equal(whole.value, continued.value)
    assert torch.equal(history.loss, second.loss)
    assert torch.equal(history.checks, second.checks)
    assert torch.equal(history.reports["train_noise"], second.reports["train_noise"])


def test_what_was_saved_of_another_training_is_left_aside(caplog):
    saved, small, alone = [], Mean(1), Mean(1)
    fit(Mean(2), draws(), Training(5, 0.1), save=lambda s: saved.append(s()), generator=batches())
    fit(small, draws(1), Training(5, 0.1), resume=saved[2], generator=batches((0,)))
    assert "of another training; starts from the beginning" in caplog.text
    fit(alone, draws(1), Training(5, 0.1), generator=batches((0,)))
    assert torch.equal(small.value, alone.value)


def test_a_training_that_diverges_says_so():
    class Exploding(Mean):
        def loss(self, batch, fraction, generator):
            return super().loss(batch, fraction, generator) * torch.tensor([1.0, math.nan])

    with pytest.raises(FloatingPointError, match="repeat 1 is nan after 5 steps; lower `rate`"):
        fit(Exploding(), draws(), Training(5, 0.1), generator=batches())


def test_windows_are_successive_samples_of_one_case():
    series = torch.arange(4)[:, None, None] * 1000 + torch.arange(20)[None, :, None]
    windows = Windows(series.double(), length=5, batch=64, repeats=2)(batches())
    assert windows.shape == (2, 64, 5, 1)
    assert (windows.diff(dim=2) == 1).all()
    assert set((windows[..., 0, 0] % 1000).unique().tolist()) == set(range(16))
    assert set((windows // 1000).unique().tolist()) == {0, 1, 2, 3}


def test_windows_refuse_what_they_cannot_cut():
    with pytest.raises(ValueError, match="windows of 5 samples .* got 4"):
        Windows(torch.zeros(2, 4, 1), 5, 1, 1)
    gap = torch.zeros(2, 8, 1)
    gap[0, 3] = math.nan
    with pytest.raises(ValueError, match="1 of 16 values are missing"):
        Windows(gap, 5, 1, 1)


def test_draws_are_blurred_by_each_repeats_own_noise():
    """Variances within five standard errors of chi-square."""
    noise_std = torch.tensor([0.0, 0.5, 2.0])
    drawn = Draws(torch.zeros(10, 3), 20_000, noise_std)(streams("d", range(3), "x"))
    assert (drawn[0] == 0).all()
    error = 5 * math.sqrt(2 / 60_000)
    assert drawn[1:].var((1, 2)).tolist() == pytest.approx([0.25, 4.0], rel=error)


def test_data_held_out_enter_neither_weights_nor_scaling():
    """Whatever is watched, the same training data give the same weights and moments."""
    train = draws()
    models = [Mean(), Mean()]
    for model, held_out in zip(models, (0.0, 1e6), strict=True):
        watched = {"held_out": torch.full((2, 5, 1), held_out)}
        fit(model, train, Training(10, 0.1), watched=watched, generator=batches())
    assert torch.equal(models[0].value, models[1].value)
    torch.testing.assert_close(Scaling.fit(train.states).mean[0], train.states.mean(0))


def test_the_losses_of_a_long_training_take_one_piece_of_memory():
    """Small tensors kept among large ones that come and go would pin the memory between them."""
    seen = set()
    fit(
        Mean(),
        draws(),
        Training(20, 0.1),
        save=lambda state: seen.add(state.__self__.losses.data_ptr()),
        generator=batches(),
    )
    assert len(seen) == 1


@pytest.mark.parametrize("kind", [torch.int16, torch.int32, torch.int64])
def test_windows_of_tokens_are_stretches_of_one_series(kind):
    series = (1000 * torch.arange(4)[:, None] + torch.arange(20)).to(kind)
    windows = Windows(series, length=5, batch=64, repeats=2)(batches())
    assert windows.shape == (2, 64, 5) and windows.dtype == torch.int64
    assert (windows.diff(dim=2) == 1).all()
    states = Windows(series.double()[..., None], length=5, batch=64, repeats=2)(batches())
    assert torch.equal(windows.double(), states[..., 0])


def test_a_context_longer_than_the_data_is_refused():
    with pytest.raises(ValueError, match="windows of 129 samples .* got 100; .* the context"):
        Windows(torch.zeros(2, 100, dtype=torch.int16), 129, 1, 1)


@pytest.mark.parametrize("changed", [{"states": 1.0}, {"rate": 0.2}], ids=["data", "settings"])
def test_a_training_does_not_continue_with_other_data_or_settings(changed, caplog):
    def trained(states=0.0, rate=0.1, **options):
        model = Mean(1)
        data = Draws(torch.full((4, 2), states), 2, torch.zeros(1))
        fit(model, data, Training(5, rate), generator=batches((0,)), **options)
        return model.value

    saved = []
    trained(save=lambda state: saved.append(copy.deepcopy(state())))
    assert torch.equal(trained(**changed, resume=saved[2]), trained(**changed))
    assert "of another training; starts from the beginning" in caplog.text


class Told(Mean):
    """Reports what it is told, each repeat its own, one a check."""

    def __init__(self, told):
        super().__init__(len(told))
        self.told = iter(torch.tensor(told).T)

    def report(self, batch, generator):
        return {"loss": next(self.told)}


TOLD = [[3.0, 2.0, 1.0, 2.0, 3.0, 4.0], [3.0, 1.0, 1.0, 2.0, 3.0, 4.0]]


def told(patience=None, save=None, resume=None, told=TOLD):
    model, training = Told(told), Training(25, 0.1, check_every=5, best_by="held_out_loss")
    training = replace(training, patience=patience)
    watched = {"held_out": draws()(batches())}
    history = fit(
        model, draws(), training, watched=watched, generator=batches(), save=save, resume=resume
    )
    return model.value.detach().flatten(), history


def test_each_repeat_ends_with_the_weights_of_its_best_check():
    path = []
    kept, history = told(save=lambda state: path.append(state()["model"]["value"].clone()))
    assert history.loss.shape == (2, 25)
    assert kept.tolist() == [path[9][0].item(), path[4][1].item()]  # after 10 and after 5 steps


def test_a_training_stops_when_no_repeat_gets_better():
    kept, history = told(patience=2)
    assert history.checks.tolist() == [0, 5, 10, 15, 20]
    assert history.loss.shape == (2, 20) and torch.equal(kept, told()[0])
    assert told(patience=3)[1].loss.shape == (2, 25)


def test_the_best_weights_survive_an_interruption():
    saved = []
    whole, _ = told(save=lambda state: saved.append(copy.deepcopy(state())))
    rest = [values[4:] for values in TOLD]
    continued, history = told(resume=saved[17], told=rest)  # after 18 steps, 4 checks done
    assert torch.equal(continued, whole) and len(history.checks) == 6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"best_by": "held_out_loss", "average": 0.9}, "`best_by` or `average`, not both"),
        ({"patience": 3}, "patience needs `best_by`"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Training(10, 0.1, **settings)


def test_a_report_that_there_is_not_is_named():
    training = Training(10, 0.1, best_by="valid_loss")
    watched = {"held_out": draws()(batches())}
    with pytest.raises(ValueError, match="'valid_loss', but the reports are held_out_loss"):
        fit(Mean(), draws(), training, watched=watched, generator=batches())


def test_a_repeat_that_has_waited_long_enough_is_not_trained_on_for_others():
    """What its value is after that does not count: alone it would have stopped there."""
    values = [3.0, 1.0, 2.0, 2.0, 0.5, 0.1]
    falls = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    path = []
    kept, history = told(
        patience=2,
        told=[values, falls],
        save=lambda state: path.append(state()["model"]["value"].clone()),
    )
    alone, own = told(patience=2, told=[values, values])
    assert own.checks.tolist() == [0, 5, 10, 15] and history.checks.tolist() == list(
        range(0, 26, 5)
    )
    assert kept[0].item() == alone[0].item() == path[4][0].item()  # the weights after 5 steps
    assert kept[1].item() == path[24][1].item()
