"""Many optimisations at once against torch's optimiser and schedule of one."""

import pytest
import torch

from dalib.learn import Constant, Decay, Plateau
from dalib.learn.adam import Adam
from dalib.streams import normal, stream, streams

RUNS, STEPS = 3, 50


def gradients(dtype=torch.float64):
    """(step, run, number) for two parameters."""
    generators = streams("adam", range(RUNS), "gradients")
    drawn = [
        normal((RUNS, STEPS, n), generators, dtype).mT.permute(2, 0, 1).clone() for n in (4, 1)
    ]
    return {"a": drawn[0], "b": 1e-3 * drawn[1]}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_run_takes_the_steps_of_torch_with_its_own_rate(dtype):
    g = gradients(dtype)
    rates = torch.tensor([1e-3, 1e-2, 0.3], dtype=torch.float64)
    own = {name: torch.zeros_like(value[0]) for name, value in g.items()}
    adam = Adam(own)
    twins = {name: [torch.zeros_like(v) for v in value] for name, value in own.items()}
    optimisers = [
        torch.optim.Adam([twins["a"][r], twins["b"][r]], lr=rates[r].item()) for r in range(RUNS)
    ]
    for step in range(STEPS):
        now = {name: value[step] for name, value in g.items()}
        assert not adam.update(now, {"a": rates, "b": rates}).any()
        for r, optimiser in enumerate(optimisers):
            for name in twins:
                twins[name][r].grad = now[name][r].clone()
            optimiser.step()
    for name in own:
        torch.testing.assert_close(own[name], torch.stack(twins[name]), rtol=1e-6, atol=1e-6)


def test_a_run_with_a_gradient_that_is_not_finite_keeps_everything():
    """As if it had not been there: the other steps are those of a run without it."""
    g, rates = gradients(), torch.full((RUNS,), 0.01, dtype=torch.float64)
    broken = {name: value.clone() for name, value in g.items()}
    broken["b"][5, 1] = torch.nan
    broken["a"][7, 1, 2] = torch.inf
    runs = {}
    for label, given, skipped in (("whole", g, ()), ("broken", broken, (5, 7))):
        adam = runs[label] = Adam({name: torch.zeros_like(v[0]) for name, v in g.items()})
        for step in range(20):
            gone = adam.update({n: v[step] for n, v in given.items()}, {"a": rates, "b": rates})
            assert gone.tolist() == [False, step in skipped, False]
    without = Adam({name: torch.zeros_like(v[0]) for name, v in g.items()})
    for step in [s for s in range(20) if s not in (5, 7)]:
        without.update({n: v[step] for n, v in g.items()}, {"a": rates, "b": rates})
    for name in g:
        whole, broken = runs["whole"].parameters[name], runs["broken"].parameters[name]
        assert torch.equal(whole[[0, 2]], broken[[0, 2]])
        assert torch.equal(without.parameters[name][1], broken[1])
        assert torch.equal(without.second[name][1], runs["broken"].second[name][1])
    assert runs["broken"].updates.tolist() == [20, 18, 20]


def test_adam_continues_from_its_state():
    g, rates = gradients(), torch.full((RUNS,), 0.01, dtype=torch.float64)

    def steps(adam, which):
        for step in which:
            adam.update({n: v[step] for n, v in g.items()}, {"a": rates, "b": rates})

    one = Adam({name: torch.zeros_like(v[0]) for name, v in g.items()})
    steps(one, range(10))
    other = Adam({name: value.clone() for name, value in one.parameters.items()})
    other.restore(one.state())
    steps(one, range(10, 20))
    steps(other, range(10, 20))
    assert torch.equal(one.parameters["a"], other.parameters["a"])


@pytest.mark.parametrize("sign", [1, -1])
def test_plateau_is_that_of_torch_on_each_run(sign):
    epochs = torch.arange(40.0)
    losses = sign * (2 + 0.05 * normal((4, 40), stream("losses")))
    losses[0] = sign * 3 - 0.1 * epochs  # always falls
    losses[1] += torch.exp(-epochs / 3)
    plateau = Plateau(patience=3, factor=0.5, threshold=1e-2)
    for run in losses:
        optimiser = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        torchs = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimiser,
            patience=3,
            factor=0.5,
            threshold=1e-2 * run[0].abs().item(),
            threshold_mode="abs",
        )
        for epoch in range(40):
            assert plateau.at(run[None, :epoch]).item() == optimiser.param_groups[0]["lr"]
            torchs.step(run[epoch].item())
    apart = torch.cat([plateau.at(run[None]) for run in losses])
    assert torch.equal(plateau.at(losses), apart)
    assert plateau.at(losses)[0] == 1 and plateau.at(losses)[2] < 1


def test_decay_acts_after_the_epochs_it_names_and_constant_never():
    decay, losses = Decay(after=(2, 3), factor=0.5), torch.zeros(1, 5)
    assert [decay.at(losses[:, :e]).item() for e in range(5)] == [1, 1, 0.5, 0.25, 0.25]
    assert Constant().at(losses).tolist() == [1]
