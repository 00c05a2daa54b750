"""Largest Lyapunov exponent from short stretches of a trajectory, extrapolated to long ones."""

import numpy as np


def mean_growth(jacobians: np.ndarray, longest: int) -> np.ndarray:
    """Growth rates over 1 ... `longest` steps, per step: (..., time, state, state) -> (longest,).

        λ_n = ⟨ 1/n log ‖J(x_{i+n-1}) ... J(x_i)‖₂ ⟩_i

    the mean over all starts i and all leading axes, of the logarithm of the spectral norm
    (Shalova and Oseledets 2020, sec. IV).
    """
    times = jacobians.shape[-3]
    if times < longest:
        raise ValueError(f"growth over {longest} steps needs as many states in a row, got {times}")
    product, rates = jacobians, []
    for n in range(1, longest + 1):
        if n > 1:
            product = jacobians[..., n - 1 :, :, :] @ product[..., :-1, :, :]
        norm = np.linalg.norm(product, ord=2, axis=(-2, -1))
        rates.append(np.log(norm).mean() / n)
    return np.array(rates)


def extrapolated(rates: np.ndarray, first: int = 1) -> float:
    """λ of λ_n = λ + c₁/n + c₂/n², by least squares over n = first ... len(rates)."""
    n = np.arange(first, len(rates) + 1)
    if len(n) < 3:
        raise ValueError(f"three constants need at least 3 rates, got {len(n)}")
    terms = np.stack([np.ones(len(n)), 1 / n, 1 / n**2], axis=1)
    return float(np.linalg.lstsq(terms, rates[first - 1 :], rcond=None)[0][0])
