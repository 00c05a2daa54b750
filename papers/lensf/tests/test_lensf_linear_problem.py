"""The sampler of the ensemble score filter on a scalar problem with exact answers."""

import numpy as np
import pytest

from dalib.filters.ensf_linear import moments
from dalib.filters.ensf_sampler import Diffusion
from papers.lensf.metrics.linear_problem import TEXTS, linear_problem

SETTINGS = {"samples": 20_000, "eps_beta": [0.025, 0.0], "errors": [0.1, 0.3], "steps": [100, 1000]}


@pytest.fixture(scope="module")
def found():
    return linear_problem(SETTINGS, "t")


def exact(eps_beta: float, error: float, steps: int) -> tuple[float, float]:
    """Gain and variance of so many steps."""
    known = moments(error, Diffusion(eps_beta=eps_beta, steps=steps), limit=False)
    return known.gain, known.std**2


@pytest.mark.parametrize("eps_beta", SETTINGS["eps_beta"])
@pytest.mark.parametrize("error", SETTINGS["errors"])
@pytest.mark.parametrize("steps", SETTINGS["steps"])
def test_gain_and_variance_are_those_of_the_moments_of_so_many_steps(found, eps_beta, error, steps):
    """Within five standard errors of a mean and of a variance."""
    at = {"linear_eps_beta": eps_beta, "linear_error": error, "linear_steps": steps}
    gain, variance = exact(eps_beta, error, steps)
    one, n = found.sel(at), SETTINGS["samples"]
    assert float(one.linear_gain) == pytest.approx(gain, abs=5 * np.sqrt(variance / n))
    assert float(one.linear_variance) == pytest.approx(variance, rel=5 * np.sqrt(2 / n))


def test_more_steps_come_nearer_to_the_limit(found):
    for eps_beta, error in [(0.025, 0.1), (0.025, 0.3)]:
        at = {"linear_eps_beta": eps_beta, "linear_error": error}
        limit = (float(found[f"linear_{n}_limit"].sel(at)) for n in ("gain", "variance"))
        for i, value in enumerate(limit):
            off = [abs(exact(eps_beta, error, steps)[i] - value) for steps in (100, 1000, 10_000)]
            assert off[0] > 5 * off[1] > 25 * off[2]


def test_an_exact_step_has_the_gain_of_bayes_and_the_sampler_another(found):
    bayes = found.linear_gain_bayes.sel(linear_eps_beta=0.025)
    np.testing.assert_allclose(bayes, [0.025 / (0.025 + 0.01), 0.025 / (0.025 + 0.09)])
    assert (abs(found.linear_gain_limit.sel(linear_eps_beta=0.025) - bayes) > 0.02).all()


def test_without_a_variance_of_members_more_and_more_steps_update_nothing(found):
    still = found.sel(linear_eps_beta=0.0)
    for name in ("linear_gain_bayes", "linear_gain_limit", "linear_variance_limit"):
        assert (still[name] == 0).all()
    for error in SETTINGS["errors"]:
        gains = [exact(0.0, error, steps)[0] for steps in (100, 1000, 10_000)]
        assert gains[0] > 4 * gains[1] > 16 * gains[2] > 0


def test_the_same_name_gives_the_same_numbers_and_each_has_its_words(found):
    few = SETTINGS | {"samples": 50, "steps": [100]}
    assert linear_problem(few, "t").identical(linear_problem(few, "t"))
    assert not linear_problem(few, "other").linear_gain.equals(linear_problem(few, "t").linear_gain)
    assert {name: found[name].attrs["long_name"] for name in found.data_vars} == TEXTS
