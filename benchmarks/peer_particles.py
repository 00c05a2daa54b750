"""A bootstrap filter of Lorenz-63 in `particles`; runs in its environment.

The drift is written for the layout of the package, (particle, state), as its users would.
"""

import json
import sys
import time

import numpy as np
import particles
from particles import distributions as dists
from particles import state_space_models as ssms
from particles.collectors import Moments

EYE = np.eye(3)


def drift(x: np.ndarray) -> np.ndarray:
    """(particle, 3) -> (particle, 3)."""
    x, y, z = x.T
    return np.stack((10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z), axis=1)


def step(x: np.ndarray, dt: float, steps: int) -> np.ndarray:
    """Classical Runge-Kutta."""
    for _ in range(steps):
        k1 = drift(x)
        k2 = drift(x + dt / 2 * k1)
        k3 = drift(x + dt / 2 * k2)
        k4 = drift(x + dt * k3)
        x = x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x


class Lorenz63(ssms.StateSpaceModel):
    """Model noise and observation errors are isotropic; the fields are given as parameters."""

    def PX0(self):  # noqa: N802
        return dists.MvNormal(loc=self.mean, scale=self.prior_std, cov=EYE)

    def PX(self, t, xp):  # noqa: N802
        return dists.MvNormal(loc=step(xp, self.dt, self.steps), scale=self.noise_std, cov=EYE)

    def PY(self, t, xp, x):  # noqa: N802
        return dists.MvNormal(loc=x, scale=self.error_std, cov=EYE)


def run(truth: list, observations: list, members: int, discard: int, **parameters) -> dict:
    """CPU time of the filter alone; truth and observations are (seed, time, 3)."""
    errors, seconds = [], 0.0
    for x, y in zip(np.array(truth), np.array(observations), strict=True):
        np.random.seed(len(errors))
        model = Lorenz63(mean=x[0], **parameters)
        filter = particles.SMC(
            fk=ssms.Bootstrap(ssm=model, data=list(y)),
            N=members,
            resampling="systematic",
            ESSrmin=0.5,
            collect=[Moments()],
        )
        begin = time.process_time()
        filter.run()
        seconds += time.process_time() - begin
        means = np.array([moments["mean"] for moments in filter.summaries.moments])
        errors.append(float(np.sqrt(np.mean((means - x)[discard:] ** 2))))
    cycles = len(errors) * len(y)
    return {"microseconds": seconds / cycles * 1e6, "errors": errors}


for line in sys.stdin:
    print(json.dumps(run(**json.loads(line))), flush=True)
