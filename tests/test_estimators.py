"""Every filter of the registry as a state estimator."""

import pytest
import test_filters_contract as contract
import torch

from dalib.estimators import Estimate, Filtering
from dalib.filters import Gaussian, assimilate
from dalib.filters.kalman import Kalman
from dalib.observe import Identity
from dalib.streams import Streams


def estimator(kind, **options):
    prior, y = contract.data(kind, "full")
    where = "ring" if kind in contract.NEED else "none"
    return Filtering(contract.made(kind, where, "full"), prior, **options), y


@pytest.mark.parametrize("kind", contract.EVERY)
def test_every_filter_is_a_state_estimator(kind):
    method, y = estimator(kind)
    fitted = method.fit()
    expected = contract.estimates(method.method, method.prior, y, contract.generators())
    run = fitted.smooth if hasattr(method.method, "smooth") else fitted.filter
    found = run(y, contract.generators())
    assert isinstance(found, Estimate) and found.members is None
    for own, series in zip(found[:2], expected[:2], strict=True):
        own = own[0] if kind in contract.NETWORKS else own
        assert torch.equal(own, series)
    assert method.needs == frozenset()


def test_members_of_an_ensemble_filter_are_given_on_request():
    method, y = estimator("etkf", members=True)
    found = method.fit().filter(y, contract.generators())
    assert found.members.shape == (*found.mean.shape[:2], 10, found.mean.shape[-1])
    torch.testing.assert_close(found.members.mean(2), found.mean)


def test_cases_are_estimated_alike_alone_and_together():
    method, y = estimator("enkf")
    together = method.fit().filter(y, contract.generators())
    for i, own in enumerate(contract.generators().generators):
        prior = Gaussian(method.prior.mean[i : i + 1], method.prior.cov)
        alone = Filtering(method.method, prior).fit().filter(y[i : i + 1], Streams((own,)))
        torch.testing.assert_close(alone.mean[0], together.mean[i], rtol=1e-9, atol=1e-9)


def test_filters_and_smoothers_are_not_taken_for_each_other():
    smoother, y = estimator("deep_kalman_smoother")
    with pytest.raises(TypeError, match=r"looks at later observations too .* smooth\("):
        smoother.fit().filter(y)
    filter, y = estimator("etkf")
    with pytest.raises(TypeError, match="ETKF has no smoother"):
        filter.fit().smooth(y)


def test_one_prior_serves_all_cases():
    one = torch.eye(2, dtype=torch.float64)
    kalman = Kalman(matrix=one, noise_cov=one, observe=Identity(2), obs_std=1.0)
    y = torch.arange(12, dtype=torch.float64).view(3, 2, 2)
    prior = Gaussian(torch.zeros(2).double(), one)
    found = Filtering(kalman, prior).fit().filter(y)
    assert found.mean.shape == (3, 2, 2)
    torch.testing.assert_close(found.mean, assimilate(kalman, prior, y, None).mean)
