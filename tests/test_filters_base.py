import copy
import logging

import pytest
import torch

from dalib.filters import Ensemble, Gaussian, Weighted, assimilate, cycle
from dalib.filters.ekf import EKF
from dalib.filters.enkf import EnKF
from dalib.filters.etkf import ETKF
from dalib.filters.free import FreeRun
from dalib.filters.particle import BootstrapParticle
from dalib.observe import MovingSubset, Subset
from dalib.streams import normal, stream, streams

ALL = torch.arange(3)  # components


def standard(size) -> Gaussian:
    return Gaussian(torch.zeros(size).double(), torch.eye(size).double())


def enkf(**settings) -> EnKF:
    given = {"step": lambda x: 0.9 * x, "observe": Subset((0, 1)), "obs_std": 1.0, "members": 10}
    return EnKF(**given | settings)


def test_the_moments_of_beliefs_are_those_of_their_samples():
    E = normal((2, 7, 3), stream(1))
    belief = Ensemble(E)
    assert torch.allclose(belief.mean, E.mean(1))
    assert torch.allclose(belief.std, E.std(1))
    assert torch.allclose(belief.cov[1], E[1].T.cov())
    twice = Weighted(E[:, :2], torch.tensor([0.75, 0.25]).double().log().expand(2, 2))
    assert torch.allclose(twice.mean, 0.75 * E[:, 0] + 0.25 * E[:, 1])
    gap = (E[:, 0] - E[:, 1]).abs()
    assert torch.allclose(twice.std, (0.75 * 0.25) ** 0.5 * gap)


def test_the_loop_forecasts_first_and_streams():
    y = torch.ones(3, 2).double()
    pairs = cycle(enkf(), standard(3), y, stream(1))
    forecast, analysis = next(pairs)
    prior = enkf().start(standard(3), stream(1))
    assert torch.equal(forecast.members, 0.9 * prior.members)
    assert len(list(pairs)) == 2
    analyses = assimilate(enkf(), standard(3), y, stream(1))
    assert torch.equal(analyses.forecast_mean[0], forecast.mean)
    assert torch.equal(analyses.std[0], analysis.std)
    assert analyses.mean.shape == (3, 3)


def test_a_wrong_number_of_observations_says_what_would_be_right():
    with pytest.raises(ValueError) as error:
        assimilate(enkf(), standard(3), torch.zeros(100, 3).double(), stream(1))
    assert str(error.value) == (
        "y has 3 values but observe() returns 2; give observations of shape (time, 2), got (100, 3)"
    )
    with pytest.raises(ValueError, match=r"of shape \(..., time, 2\), got \(4, 100, 3\)"):
        assimilate(enkf(), standard(3), torch.zeros(4, 100, 3).double(), stream(1))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"y": [[0.0, 0.0]]}, "observations: a list; give a tensor"),
        ({"y": torch.zeros(5).numpy()}, "observations: a ndarray; give a tensor"),
        ({"y": torch.zeros(5)}, r"shape \(5,\), expected \(..., time, obs\)"),
        ({"y": torch.zeros(0, 2)}, r"shape \(0, 2\), expected .* at least one time"),
        ({"y": torch.full((3, 2), torch.inf)}, "infinite; NaN marks a missing value"),
        ({"prior": (torch.zeros(3), torch.eye(3))}, "the prior is a tuple; give a Gaussian"),
        ({"prior": Gaussian(torch.zeros(3), torch.ones(3))}, r"a covariance of shape \(3,\)"),
        ({"prior": Gaussian(torch.full((3,), torch.nan), torch.eye(3))}, "prior .* not finite"),
        ({"prior": Gaussian(torch.zeros(4, 3), torch.eye(3))}, r"one prior for all series"),
        ({"generator": 1}, r"give torch.Generator\(\).manual_seed"),
        ({"filter": EnKF}, "the filter is the class EnKF; give an object of it"),
        ({"filter": enkf(obs_std=torch.ones(3))}, r"obs_std has shape \(3,\), but y has 2"),
        ({"filter": enkf(observe=lambda x: x[..., 0])}, r"observe\(\) turns .*: x\[..., :1\]"),
        ({"filter": enkf(step=lambda x: x[..., :1])}, r"one step turns a mean of shape \(3,\)"),
    ],
)
def test_arguments_that_are_something_else_say_what_would_be_right(given, message):
    standing = {"filter": enkf(), "prior": standard(3), "y": torch.zeros(5, 2).double()}
    arguments = {**standing, "generator": stream(1)} | given
    with pytest.raises((TypeError, ValueError), match=message):
        assimilate(*arguments.values())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"obs_std": 0.0}, "obs_std is 0.0; it has to be positive"),
        ({"obs_std": -1.0}, "obs_std is -1.0; it has to be positive"),
        ({"inflation": 0.0}, "inflation is 0.0; it has to be positive"),
        ({"model_error_std": -1.0}, "model_error_std is -1.0; it has to be 0 or"),
    ],
)
def test_numbers_outside_their_range_are_refused_when_a_filter_is_made(given, message):
    with pytest.raises(ValueError, match=message):
        enkf(**given)
    tensors = enkf(**{name: torch.as_tensor(value) for name, value in given.items()})
    with pytest.raises(ValueError, match=message):  # tensors when a series is there
        assimilate(tensors, standard(3), torch.zeros(5, 2).double(), stream(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
@pytest.mark.parametrize(
    "filter", [enkf(), EKF(step=lambda x: x, observe=Subset((0, 1)), obs_std=1.0)]
)
def test_observations_take_the_dtype_of_the_prior(filter, dtype):
    y = torch.ones(5, 2)
    right = assimilate(filter, standard(3), y.double(), stream(1)).mean
    assert torch.equal(assimilate(filter, standard(3), y.to(dtype), stream(1)).mean, right)


def test_a_series_without_any_observation_is_an_error():
    y = torch.zeros(3, 5, 2).double()
    y[1] = torch.nan
    with pytest.raises(ValueError, match=r"all observations of the seeds \[1\] are NaN"):
        assimilate(enkf(), standard(3), y, stream(1))
    with pytest.raises(ValueError, match="all observations are NaN"):
        assimilate(enkf(), standard(3), y[1], stream(1))


def exploding(x: torch.Tensor) -> torch.Tensor:
    """Harmless but where the first component is large."""
    return torch.where(x[..., :1] > 50, x.square() ** 9, x)


@pytest.mark.parametrize(
    "filter",
    [
        enkf(step=exploding),
        ETKF(step=exploding, observe=Subset((0, 1)), obs_std=1.0, members=5, rotate=True),
        EKF(step=exploding, observe=Subset((0, 1)), obs_std=1.0, model_error_std=0.1),
        BootstrapParticle(
            step=exploding,
            observe=Subset((0, 1)),
            obs_std=1.0,
            members=20,
            jitter_std=0.1,
            regularisation=1.0,
        ),
    ],
    ids=lambda filter: type(filter).__name__,
)
def test_a_seed_that_diverges_is_reported_and_leaves_the_others_alone(filter, caplog):
    y = torch.ones(3, 8, 2).double()
    mean = torch.zeros(3, 3).double()
    prior = Gaussian(mean, torch.eye(3).double())
    calm = assimilate(filter, prior, y, streams("diverge", range(3), "filter"))
    assert not calm.diverged.any()
    mean[1] = 1000.0  # far beyond where the model explodes
    with caplog.at_level(logging.WARNING):
        wild = assimilate(
            filter, Gaussian(mean, prior.cov), y, streams("diverge", range(3), "filter")
        )
    assert wild.diverged.tolist() == [False, True, False]
    assert wild.diverged_at[1] <= 1
    assert f"{type(filter).__name__}: 1 of 3 seeds diverged" in caplog.text
    for found, expected in zip(wild[:4], calm[:4], strict=True):
        assert torch.allclose(found[[0, 2]], expected[[0, 2]], rtol=1e-12, atol=1e-12)
        assert found[1, 2:].isnan().all()


def test_a_mean_beyond_the_bound_counts_as_diverged():
    filter = enkf(step=lambda x: x + torch.tensor([0.0, 0.0, 10.0]))  # in the component not seen
    analyses = assimilate(filter, standard(3), torch.zeros(20, 2).double(), stream(2), bound=100)
    assert 8 <= analyses.diverged_at <= 10
    assert analyses.mean[: analyses.diverged_at].isfinite().all()


def test_an_operator_that_moves_is_asked_for_each_time():
    index = ((0, 1), (1, 2), (2, 0))
    y = normal((3, 2), stream(3))
    moving = assimilate(enkf(observe=MovingSubset(index)), standard(3), y, stream(4))
    generator, filter = stream(4), enkf()
    belief = filter.start(standard(3), generator)
    for k in range(3):
        filter = enkf(observe=Subset(index[k]))
        belief = filter.analyse(filter.forecast(belief, generator), y[k], generator)
        assert torch.equal(moving.mean[k], belief.mean)


def test_the_prior_broadcasts_to_the_observations():
    y = normal((4, 6, 2), stream(5))
    generator = streams("prior", range(4), "filter")
    analyses = assimilate(enkf(), standard(3), y, generator)
    assert analyses.mean.shape == (4, 6, 3)
    assert not torch.equal(analyses.mean[0, 0], analyses.mean[1, 0])


# -- members that are kept ------------------------------------------------------------------------


def test_members_are_kept_where_they_were_asked_for_and_change_nothing():
    y, index = normal((4, 6, 2), stream(5)), torch.tensor([2, 0])
    without, kept = (
        assimilate(enkf(), standard(3), y, streams("kept", range(4), "filter"), kept=which)
        for which in (None, index)
    )
    assert without.members is None and kept.members.shape == (4, 6, 10, 2)
    for one, other in zip(without[:5], kept[:5], strict=True):
        assert torch.equal(one, other)
    assert torch.allclose(kept.members.mean(-2), kept.mean[..., index])
    assert torch.allclose(kept.members.std(-2), kept.std[..., index])


def test_a_filter_without_members_keeps_none():
    ekf = EKF(step=lambda x: x, observe=Subset((0, 1)), obs_std=1.0, model_error_std=0.1)
    y = torch.ones(5, 2).double()
    assert assimilate(ekf, standard(3), y, stream(1), kept=torch.tensor([0])).members is None


def test_members_of_a_seed_that_is_lost_are_missing_from_then_on():
    mean = torch.zeros(2, 3).double()
    mean[1] = 1000.0
    prior, y = Gaussian(mean, torch.eye(3).double()), torch.ones(2, 4, 2).double()
    generator, index = streams("diverge", range(2), "filter"), torch.arange(3)
    found = assimilate(enkf(step=exploding), prior, y, generator, kept=index)
    assert found.members[0].isfinite().all()
    assert found.members[1, found.diverged_at[1] :].isnan().all()


def test_kept_members_continue_as_if_the_run_had_not_stopped():
    y, index, saved = normal((4, 6, 2), stream(5)), torch.tensor([0, 2]), []
    whole = assimilate(
        enkf(),
        standard(3),
        y,
        streams("kept", range(4), "filter"),
        kept=index,
        save=lambda state: saved.append(copy.deepcopy(state())),
    )
    for state in saved:
        other = streams("another", range(4), "filter")
        again = assimilate(enkf(), standard(3), y, other, kept=index, resume=state)
        for one, expected in zip(again[:7], whole[:7], strict=True):
            assert torch.equal(one, expected)
        assert torch.equal(again.belief.members, whole.belief.members)


@pytest.mark.parametrize("what", ["observations", "prior", "filter"])
def test_an_assimilation_does_not_continue_with_what_is_different(what, caplog):
    y, saved = normal((4, 2), stream(5)), []
    assimilate(enkf(), standard(3), y, stream(1), save=lambda state: saved.append(state()))
    other = {"observations": y, "prior": standard(3), "filter": enkf()}
    other |= {
        "observations": {"observations": y + 1},
        "prior": {"prior": Gaussian(torch.ones(3).double(), torch.eye(3).double())},
        "filter": {"filter": enkf(obs_std=2.0)},
    }[what]
    again, alone = (
        assimilate(**other, generator=stream(1), resume=resume) for resume in (saved[1], None)
    )
    assert torch.equal(again.mean, alone.mean)
    assert "starts from the beginning" in caplog.text


def test_a_free_run_never_looks():
    """Without noise the members are those that the model makes of the prior."""
    free = FreeRun(step=lambda x: 0.9 * x, observe=Subset((0, 1)), obs_std=1.0, members=10)
    members = normal((10, 3), stream("members"))
    found = (
        assimilate(free, Ensemble(members), factor * torch.ones(4, 2).double(), stream(1), kept=ALL)
        for factor in (1.0, 1e6)
    )
    for one, other in zip(*(given[:6] for given in found), strict=True):
        assert torch.equal(one, other)
        if one.ndim == 3:
            powers = 0.9 ** torch.arange(1, 5).double()[:, None, None]
            torch.testing.assert_close(one, powers * members)


def test_kept_members_of_weighted_states_are_equally_likely():
    members = normal((2, 1000, 3), stream("alike"))
    weighted = Weighted(members, (2 * members[..., 0]).log_softmax(-1))
    alike = weighted.alike()
    spread = 5 * weighted.std / 1000**0.5  # what as many draws would be off by
    assert ((alike.mean(1) - weighted.mean).abs() < spread).all()
    assert torch.allclose(alike.std(1), weighted.std, rtol=0.1)
    assert torch.equal(weighted.alike(torch.tensor([2])), alike[..., 2:])
    far = BootstrapParticle(
        step=lambda x: x, observe=Subset((0, 1)), obs_std=0.2, members=2000, resample_below=0.0
    )
    y = torch.tensor([[1.0, -1.0]]).double()
    found = assimilate(far, standard(3), y, stream("far"), kept=ALL)
    gap = (found.members.mean(-2) - found.mean).abs()
    assert (gap < 0.3 * found.std).all() and found.mean[0, 0] > 0.8


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e9, 1e20])
def test_the_bound_is_relative_to_large_units(scale):
    filter = ETKF(step=lambda x: x, observe=Subset((0, 1)), obs_std=0.1 * scale, members=20)
    prior = Gaussian(scale * torch.ones(3).double(), scale**2 * torch.eye(3).double())
    found = assimilate(filter, prior, scale * torch.ones(10, 2).double(), stream("units"))
    assert not found.diverged
    assert (found.mean[-1, :2] / scale - 1).abs().max() < 0.2


def test_the_bound_of_a_series_is_its_own_and_named_where_it_ends_it(caplog):
    """A thousand times larger at each step, with a gain of nearly 0."""
    prior = Gaussian(torch.tensor([[1.0], [1e9]]).double(), 1e-20 * torch.eye(1).double())
    filter = EKF(step=lambda x: 1e3 * x, observe=Subset((0,)), obs_std=1e30)
    found = assimilate(filter, prior, torch.zeros(2, 4, 1).double(), None)
    assert found.diverged_at.tolist() == [2, 2]  # 1e9 times the prior's own
    assert "2 by a mean beyond 1e+17: give bound= if that is no divergence" in caplog.text
    free = assimilate(filter, prior, torch.zeros(2, 4, 1).double(), None, bound=1e30)
    assert not free.diverged.any()


# -- innovations ----------------------------------------------------------------------------------


def drifting(observe, **settings):
    """A walk that the filter takes for standing still, unless it has noise too."""
    truth = (0.7 * normal((2, 200, 2), stream("walk"))).cumsum(1)
    y = truth + normal((2, 200, 2), stream("walk", "errors"))
    filter = ETKF(step=lambda x: x, observe=observe, obs_std=1.0, members=20, **settings)
    return assimilate(filter, standard(2), y, streams("walk", range(2), "filter"))


def through(x):
    return x * torch.ones(2).to(x)


@pytest.mark.parametrize("observe", [Subset((0, 1)), through])
def test_innovations_that_spread_does_not_explain_are_told_once(observe, caplog):
    found = drifting(observe)
    assert found.chi_square.shape == (2,)
    assert (found.chi_square > 5).all()
    assert caplog.text.count("the squares of the innovations are up to") == 1
    assert "in 2 of 2 seeds" in caplog.text


@pytest.mark.parametrize("observe", [Subset((0, 1)), through])
def test_innovations_of_a_filter_that_is_right_have_a_chi_square_of_one(observe, caplog):
    found = drifting(observe, model_error_std=0.7)
    assert ((found.chi_square - 1).abs() < 0.2).all()
    assert not caplog.text
    shown = drifting(Subset((0, 1)), model_error_std=0.7)
    assert torch.allclose(shown.chi_square, found.chi_square, rtol=1e-9)


def test_the_chi_square_is_that_of_what_was_seen():
    filter = enkf(observe=MovingSubset(((0, 1), (1, 2), (2, 0))), obs_std=0.5)
    y = normal((4, 3, 2), stream("chi"))
    y[0, 1, 0] = torch.nan
    found = assimilate(filter, standard(3), y, streams("chi", range(4), "filter"))
    ratios = []
    for k, index in enumerate(filter.observe.index):
        index = list(index)
        S = found.forecast_std[:, k, index].square() + 0.25
        ratios.append((y[:, k] - found.forecast_mean[:, k, index]).square() / S)
    torch.testing.assert_close(found.chi_square, torch.stack(ratios, 1).nanmean((1, 2)))


def test_a_filter_that_does_not_look_has_no_chi_square():
    free = FreeRun(step=lambda x: 0.9 * x, observe=Subset((0, 1)), obs_std=1.0, members=10)
    assert assimilate(free, standard(3), torch.ones(4, 2), stream("free")).chi_square is None


def test_what_was_saved_with_other_members_is_left_aside(caplog):
    y, saved = normal((4, 2), stream("saved")), []
    save = lambda state: saved.append(state())  # noqa: E731
    assimilate(enkf(), standard(3), y, stream("saved"), save=save)
    assimilate(enkf(), standard(3), y, stream("saved"), resume=saved[1], kept=ALL)
    assert "of another filter; starts from the beginning" in caplog.text


@pytest.mark.parametrize("changed", ["y", "prior", "obs_std", "nothing"])
def test_a_run_does_not_continue_another(changed, caplog):
    y, prior, saved = normal((4, 2), stream("saved")), standard(3), []
    assimilate(enkf(), prior, y, stream("s"), save=lambda state: saved.append(state()))
    given = {"filter": enkf(), "prior": prior, "y": y}
    given |= {
        "y": {"y": y + 1e-9},
        "prior": {"prior": Gaussian(prior.mean + 1e-9, prior.cov)},
        "obs_std": {"filter": enkf(obs_std=1.1)},
        "nothing": {},
    }[changed]
    assimilate(*given.values(), stream("s"), resume=saved[1])
    assert ("starts from the beginning" in caplog.text) == (changed != "nothing")
