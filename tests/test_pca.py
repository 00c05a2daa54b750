"""The linear codec: discarded variance, closed forms, a search that agrees with the exact one."""

import pytest
import torch

from dalib.codecs.pca import PCA, leading_directions, ridge_regression
from dalib.observe import EveryKth, Identity
from dalib.streams import normal, stream

SAMPLES, POINTS = 60, 4
SHAPE = (3, POINTS, POINTS)
SIZE = 3 * POINTS**2
OPERATOR = EveryKth(SHAPE, 2)


def states(samples=SAMPLES):
    """(sample, state), correlated, with variables of different size and means."""
    mixing = normal((SIZE, SIZE), stream("pca", "mixing"))
    fields = (normal((samples, SIZE), stream("pca", "states")) @ mixing).unflatten(1, (3, -1))
    return (torch.tensor([0.01, 1.0, 50.0]).double()[:, None] * (fields + 2)).flatten(1)


def codec(components, observe=OPERATOR, obs_std=0.0, **settings):
    return PCA(components, **settings).fit(states(), observe, obs_std, stream("pca", "fit"))


@pytest.mark.parametrize("components", [1, 10, 30])
def test_reconstruction_loses_exactly_the_discarded_variance(components):
    built, x = codec(components), states()
    X = (x - built.mean) / built.std
    eigenvalues = torch.linalg.eigvalsh(X.T @ X / SAMPLES)  # ascending
    decoded = built.decode(built.encode(x).mean)
    error = ((decoded - x) / built.std).square().sum(1).mean()
    torch.testing.assert_close(error, eigenvalues[:-components].sum())


def test_all_components_lose_nothing():
    x = states()
    torch.testing.assert_close(codec(SIZE).decode(codec(SIZE).encode(x).mean), x)


def test_codes_have_mean_variance_one_and_keep_distances():
    built, x = codec(SIZE), states()
    code = built.encode(x)
    assert code.mean.square().mean().item() == pytest.approx(1)
    assert (code.log_var == -torch.inf).all()
    apart = (x[0] - x[1]) / built.std
    assert ((code.mean[0] - code.mean[1]) * built.scale).norm().item() == pytest.approx(
        apart.norm().item()
    )


def test_each_variable_is_divided_by_its_own_std():
    std = codec(5).std.view(3, -1)
    fields = states().unflatten(1, (3, -1))
    torch.testing.assert_close(std[:, 0], fields.transpose(0, 1).flatten(1).std(1))
    assert (std == std[:, :1]).all()


@pytest.mark.parametrize("features", [7, 90])
def test_ridge_is_the_closed_form_in_either_space(features):
    Y, Z = normal((40, features), stream("Y")), normal((40, 5), stream("Z"))
    expected = torch.linalg.inv(Y.T @ Y + 40 * 0.3 * torch.eye(features).double()) @ Y.T @ Z
    torch.testing.assert_close(ridge_regression(Y, Z, 0.3), expected.T)


def test_observed_codes_are_the_regression_and_say_what_it_leaves():
    built, x = codec(10, ridge=0.01), states()
    y = OPERATOR(x)
    code = built.encode_observations(y)
    Z, Y = built.encode(x).mean, (y - y.mean(0)) / built.obs_std
    torch.testing.assert_close(code.mean, Y @ ridge_regression(Y, Z, 0.01).T)
    torch.testing.assert_close(code.log_var[0].exp(), (Z - code.mean).square().mean(0))


def test_errors_of_observations_leave_more_of_the_codes():
    exact, noisy = (codec(10, obs_std=std).obs_log_var.exp().mean() for std in (0.0, 30.0))
    assert noisy > 1.2 * exact


def test_full_exact_observations_give_the_codes_themselves():
    built = codec(12, observe=Identity(SIZE), ridge=1e-12)
    x = states()
    torch.testing.assert_close(
        built.encode_observations(x).mean, built.encode(x).mean, atol=1e-6, rtol=0
    )


def test_the_search_finds_the_eigenvectors():
    """Against the exact factorisation, where the spectrum falls and the search is really one."""
    fall = 0.8 ** torch.arange(100).double()
    X = normal((150, 100), stream("search")) * fall
    found = leading_directions(X, 10, stream("search", "start"))
    exact = torch.linalg.svd(X, full_matrices=False).Vh[:10]
    torch.testing.assert_close(
        found @ exact.T, torch.diag((found * exact).sum(1)), atol=1e-6, rtol=0
    )
    torch.testing.assert_close((found * exact).sum(1).abs(), torch.ones(10).double())
    assert (found.gather(1, found.abs().argmax(1, keepdim=True)) > 0).all()


def test_leading_axes_stay():
    built, x = codec(10), states()[:6].view(2, 3, -1)
    code = built.encode_observations(OPERATOR(x))
    assert code.mean.shape == code.log_var.shape == (2, 3, 10)
    assert built.decode(code.mean).shape == x.shape


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="at most 48 principal components, got components: 49"):
        codec(49)
    with pytest.raises(ValueError, match="ridge is 0; it has to be positive"):
        codec(5, ridge=0)
    with pytest.raises(ValueError, match="5 variables of equal size"):
        codec(5, variables=5)
    with pytest.raises(ValueError, match="observations of 12 components"):
        codec(5).encode_observations(torch.zeros(48))
