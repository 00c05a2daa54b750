"""The one loop of filters: what it does with what diverges, and that there is no other."""

import ast
from pathlib import Path

import pytest
import torch

from dalib.filters import Freeze, Gaussian, Raise, Reset, cycle
from dalib.filters.cycle import Cycle, Open, passage
from dalib.filters.enkf import EnKF
from dalib.filters.latent import DirectDecode
from dalib.observe import Subset
from dalib.streams import normal, streams

DALIB = Path(__file__).parents[1] / "dalib"
SEEDS, TIMES, SIZE = 3, 6, 4


def model(x):
    """Grows without end from beyond 100."""
    return torch.where(x.abs() > 100, 1e6 * x, 0.9 * x)


def enkf(step=model):
    observe = Subset((0, 2))
    return EnKF(step=step, observe=observe, obs_std=1.0, members=8, model_error_std=0.1)


def inputs(far=()):
    mean = normal((SEEDS, SIZE), streams("cycle", range(SEEDS), "mean"))
    y = normal((SEEDS, TIMES, 2), streams("cycle", range(SEEDS), "y"))
    mean[list(far)] = 1e3
    return Gaussian(mean, 0.5 * torch.eye(SIZE).double()), y


def noise():
    return streams("cycle", range(SEEDS), "filter")


def means(policy, far=(), y=None):
    prior, given = inputs(far)
    pairs = cycle(enkf(), prior, given if y is None else y, noise(), divergence=policy)
    return torch.stack([analysis.mean for _, analysis in pairs], 1)


@pytest.mark.parametrize("policy", [Freeze(), Raise(), Reset(), Reset(limit=1e6), Freeze(1e7)])
def test_where_nothing_diverges_the_policies_agree(policy):
    assert torch.equal(means(policy), means(Freeze()))


def test_what_is_frozen_is_missing_from_then_on():
    found = means(Freeze(bound=1e4), far=[1])
    assert found[1].isnan().all() and found[[0, 2]].isfinite().all()


def test_what_diverges_is_an_error_where_that_is_asked_for():
    with pytest.raises(FloatingPointError, match=r"1 of 3 seeds diverged, by a mean .*Freeze\(\)"):
        means(Raise(bound=1e4), far=[1])
    prior, y = inputs()
    broken = enkf(lambda x: x / 0 * 0)
    with pytest.raises(FloatingPointError, match="3 of 3 seeds diverged, not finite"):
        list(cycle(broken, prior, y, noise(), divergence=Raise()))


def test_what_is_reset_starts_again_from_its_first_belief_and_leaves_the_others():
    prior, y = inputs()
    y[1, 2] = 1e5  # an innovation of so many standard deviations
    run = Cycle(enkf(), prior, y, noise(), Reset(threshold=1e3))
    first, steps = run.belief, list(run.steps())
    assert [step.lost.tolist() for step in steps].count([False] * 3) == TIMES - 1
    assert steps[2].lost.tolist() == [False, True, False]
    assert torch.equal(steps[2].analysis.members[1], first.members[1])
    calm = means(Freeze())
    found = torch.stack([step.analysis.mean for step in steps], 1)
    assert torch.equal(found[[0, 2]], calm[[0, 2]]) and found.isfinite().all()


def test_forecasts_are_clamped_before_they_meet_observations():
    prior, y = inputs(far=[0])
    pairs = list(cycle(enkf(), prior, y, noise(), divergence=Reset(limit=5.0)))
    assert all(forecast.members.abs().max() <= 5 for forecast, _ in pairs)


def test_a_reset_needs_a_filter_that_says_how_likely_an_observation_is():
    prior, y = inputs()
    decode = DirectDecode(codec=None, observe=Subset((0, 2)))
    with pytest.raises(TypeError, match=r"DirectDecode does not say .*Freeze\(\)"):
        list(cycle(decode, prior, y, noise(), divergence=Reset()))


def test_a_passage_in_pieces_is_the_whole():
    filter, (prior, y) = enkf(), inputs()
    generator = noise()
    belief, found = filter.start(prior, generator), []
    for times in (range(2), range(2, TIMES)):
        ys = y[:, times.start : times.stop].unbind(1)
        for step in passage(filter, belief, times, ys, generator, Open()):
            belief = step.belief
            found.append(step.analysis.mean)
    assert torch.equal(torch.stack(found, 1), means(Freeze()))


def test_there_is_no_other_loop_of_filters():
    """Nowhere else does an analysis follow a forecast in a loop."""
    found = []
    for path in DALIB.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.For | ast.While):
                continue
            calls = [n.func for n in ast.walk(node) if isinstance(n, ast.Call)]
            names = {f.attr for f in calls if isinstance(f, ast.Attribute)}
            names |= {f.id for f in calls if isinstance(f, ast.Name)}
            if names & {"analyse", "scored", "judge"} and names & {"forecast", "forecast_of"}:
                found.append(str(path.relative_to(DALIB)))
    assert found == ["filters/cycle.py"]
