"""State estimators: from observations to states.

from dalib.estimators import Filtering

estimator = Filtering(EnKF(step=step, observe=H, obs_std=std, members=50), prior)
estimate = estimator.fit().filter(observations, generator)     # mean, std, members
"""

from dalib.estimators.base import Estimate, FittedEstimator, StateEstimator
from dalib.estimators.deep_kalman import DeepKalman
from dalib.estimators.filtering import Filtering

__all__ = ["DeepKalman", "Estimate", "Filtering", "FittedEstimator", "StateEstimator"]
