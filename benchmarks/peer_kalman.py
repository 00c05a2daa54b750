"""Kalman filter and RTS smoother of filterpy and pykalman; runs in their environment."""

import json
import sys
import time

import numpy as np
from filterpy.kalman import KalmanFilter
from pykalman import KalmanFilter as PyKalman


def filterpy(y, F, Q, H, R, mean, cov) -> np.ndarray:
    """Smoothed means (time, state) of y (time, obs)."""
    kf = KalmanFilter(dim_x=len(F), dim_z=len(H))
    kf.x, kf.P, kf.F, kf.Q, kf.H, kf.R = mean.copy(), cov.copy(), F, Q, H, R
    means, covs, _, _ = kf.batch_filter(y)
    return kf.rts_smoother(means, covs)[0]


def pykalman(y, F, Q, H, R, mean, cov) -> np.ndarray:
    """Smoothed means (time, state); its prior is that of the first observation."""
    kf = PyKalman(
        transition_matrices=F,
        transition_covariance=Q,
        observation_matrices=H,
        observation_covariance=R,
        initial_state_mean=F @ mean,
        initial_state_covariance=F @ cov @ F.T + Q,
    )
    return kf.smooth(y)[0]


def run(package: str, y: list, **model) -> dict:
    """CPU time for all series y (seed, time, obs), and the means of the last one, in a row."""
    smoother = {"filterpy": filterpy, "pykalman": pykalman}[package]
    y, model = np.array(y), {name: np.array(value) for name, value in model.items()}
    begin = time.process_time()
    for series in y:
        means = smoother(series, **model)
    seconds = time.process_time() - begin
    return {"microseconds": seconds / y[..., 0].size * 1e6, "errors": means.flatten().tolist()}


for line in sys.stdin:
    print(json.dumps(run(**json.loads(line))), flush=True)
