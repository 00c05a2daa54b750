"""The scores of CTF for Science (Wyder et al. 2025, arXiv 2510.23166), for its Lorenz data.

Nine pairs of training and test matrices give twelve scores. The first 20 steps of a forecast, and a
whole reconstruction, are scored by the spectral norm of the matrix of errors,

    E = 100 (1 - ‖X - X̂‖₂ / ‖X‖₂)

the long run by the distance of histograms of each component over its last 500 steps,

    E = 100 (1 - mean_i Σ_b |h_ib - ĥ_ib| / Σ_b h_ib),   41 bins over truth and forecast together

and the total is the mean of the twelve, none below -100.

    python -m benchmarks.anchors.ctf FOLDER PREDICTIONS.npz      score pair1 ... pair9
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.anchors.checks import Check, Measured, UnavailableError

SOURCE = "Wyder et al. 2025, arXiv 2510.23166"
SHORT, LONG, BINS, FLOOR = 20, 500, 41, -100.0
SHAPES = {
    **{f"X{k}test": (10000 if k in (2, 4) else 1000, 3) for k in range(1, 10)},
    **{f"X{k}train": (100 if k in (4, 5, 9, 10) else 10000, 3) for k in range(1, 11)},
}


class Pair(NamedTuple):
    """What is trained on, what a forecast begins with, and which scores of it count."""

    train: tuple[str, ...]
    metrics: tuple[str, ...]
    initial: str | None = None


PAIRS = {
    1: Pair(("X1train",), ("short", "long")),
    2: Pair(("X2train",), ("reconstruction",)),
    3: Pair(("X2train",), ("long",)),
    4: Pair(("X3train",), ("reconstruction",)),
    5: Pair(("X3train",), ("long",)),
    6: Pair(("X4train",), ("short", "long")),
    7: Pair(("X5train",), ("short", "long")),
    8: Pair(("X6train", "X7train", "X8train"), ("short",), "X9train"),
    9: Pair(("X6train", "X7train", "X8train"), ("short",), "X10train"),
}
ZEROS = (0, -93.3, 0, -93.5, 0, -93.7, 0, -93.7, 0, -93.7, 0, 0, -39.00)
AVERAGE = (51.7, -91.2, 54.9, -91.9, 56.5, -91.3, 66.0, -91.1, 51.9, -90.3, 57.1, 60.9, -4.73)


def checks(folder: Path | None) -> Iterator[Check]:
    """The two rows that need no method, from the published files; and what holds without them."""
    for row, published in (("zeros", ZEROS), ("average", AVERAGE)):
        for k, value in enumerate(published):
            name = f"E{k + 1}" if k < 12 else "mean of twelve"
            yield Check(
                "CTF, Lorenz",
                f"{row}: {name}",
                value,
                SOURCE,
                lambda row=row, k=k: Measured(_row(folder, row)[k], 0.051 if k < 12 else 0.006),
            )
    for k in (0, 2, 4, 6, 8, 10, 11):
        yield Check(
            "CTF, Lorenz",
            f"zeros: E{k + 1}, on a stand-in of the same shapes",
            float(ZEROS[k]),
            SOURCE,
            lambda k=k: Measured(_row("stand-in", "zeros")[k], 1e-12),
        )


# -- scores --------------------------------------------------------------------------------------


def spectral(truth: np.ndarray, forecast: np.ndarray) -> float:
    """100 (1 - ‖X - X̂‖₂ / ‖X‖₂) of (time, state), the largest singular values."""
    return 100 * (1 - np.linalg.norm(truth - forecast, 2) / np.linalg.norm(truth, 2))


def histograms(truth: np.ndarray, forecast: np.ndarray) -> float:
    """100 (1 - mean relative L1 distance of the histograms) over the last `LONG` samples."""
    distances = []
    for x, y in zip(truth[-LONG:].T, forecast[-LONG:].T, strict=True):
        both = np.concatenate([x, y])
        edges = {"bins": BINS, "range": (both.min(), both.max())}
        h, g = np.histogram(x, **edges)[0], np.histogram(y, **edges)[0]
        distances.append(np.abs(h - g).sum() / h.sum())
    return 100 * (1 - float(np.mean(distances)))


METRICS = {
    "short": lambda x, y: spectral(x[:SHORT], y[:SHORT]),
    "reconstruction": spectral,
    "long": histograms,
}


def scores(tests: Mapping[int, np.ndarray], forecasts: Mapping[int, np.ndarray]) -> list[float]:
    """E1 ... E12 and their mean, of (time, state) of each pair; a NaN or less than -100 is -100."""
    found = []
    for number, pair in PAIRS.items():
        x, y = np.asarray(tests[number], float), np.asarray(forecasts[number], float)
        if x.shape != y.shape:
            raise ValueError(f"pair {number}: the test matrix is {x.shape}, the forecast {y.shape}")
        for metric in pair.metrics:
            score = METRICS[metric](x, y) if np.isfinite(y).all() else FLOOR
            found.append(max(float(score), FLOOR))
    return [*found, float(np.mean(found))]


# -- data ----------------------------------------------------------------------------------------


def load(folder: Path, name: str) -> np.ndarray:
    """One matrix (time, state), from NAME.mat, NAME.npy or NAME.csv."""
    for path in (folder / f"{name}{end}" for end in (".mat", ".npy", ".csv")):
        if path.is_file():
            return _oriented(_matrix(path), name, path)
    raise UnavailableError(
        f"{folder} has no {name}.mat; the files are at osf.io, DOI 10.17605/OSF.IO/6RZHM"
    )


def _matrix(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".csv":
        return np.loadtxt(path, delimiter=",")
    from scipy.io import loadmat

    arrays = [v for k, v in loadmat(path).items() if not k.startswith("__")]
    if len(arrays) != 1:
        raise ValueError(f"{path} holds {len(arrays)} matrices, one is expected")
    return arrays[0]


def _oriented(values: np.ndarray, name: str, path: Path) -> np.ndarray:
    shape = SHAPES[name]
    if values.shape == shape[::-1]:
        values = values.T
    if values.shape != shape:
        raise ValueError(f"{path} is {values.shape}, {shape} is expected")
    return values


def stand_in() -> dict[str, np.ndarray]:
    """Matrices of the same nineteen shapes from our own Lorenz-63, sampled every 0.05."""
    import torch

    from dalib.integrate import RK4
    from dalib.systems.lorenz import Lorenz63

    names = list(SHAPES)
    x = torch.tensor([-8.0, 7.0, 27.0], dtype=torch.float64)
    x = x + 0.1 * torch.arange(len(names), dtype=torch.float64)[:, None]
    flow, states = RK4(0.01, 5).flow(Lorenz63()), []
    for _ in range(400 + 10000):
        x = flow(x)
        states.append(x)
    whole = torch.stack(states[400:], 1).numpy()
    return {name: whole[k, : SHAPES[name][0]] for k, name in enumerate(names)}


def _row(folder: Path | str | None, row: str) -> list[float]:
    """Scores of a row of the published table that needs no method."""
    if folder is None:
        raise UnavailableError(
            "no folder was named; give --ctf FOLDER with the matrices of osf.io, "
            "DOI 10.17605/OSF.IO/6RZHM"
        )
    made = stand_in() if folder == "stand-in" else None
    read = made.__getitem__ if made else lambda name: load(Path(folder), name)
    tests, forecasts = {}, {}
    for number, pair in PAIRS.items():
        tests[number] = read(f"X{number}test")
        source = read(pair.initial or pair.train[0])
        mean = source.mean(0) if row == "average" else np.zeros(3)
        forecasts[number] = np.broadcast_to(mean, tests[number].shape)
    return scores(tests, forecasts)


def main() -> int:
    parser = argparse.ArgumentParser(description="Score predictions of the nine pairs of CTF.")
    parser.add_argument("folder", type=Path, help="with X1test.mat ... X9test.mat")
    parser.add_argument("predictions", type=Path, help="an .npz with pair1 ... pair9 (time, state)")
    options = parser.parse_args()
    with np.load(options.predictions) as file:
        missing = [f"pair{n}" for n in PAIRS if f"pair{n}" not in file]
        if missing:
            parser.error(f"{options.predictions} lacks {', '.join(missing)}")
        forecasts = {n: file[f"pair{n}"] for n in PAIRS}
    try:
        found = scores({n: load(options.folder, f"X{n}test") for n in PAIRS}, forecasts)
    except (UnavailableError, ValueError) as error:
        parser.error(str(error))
    for k, value in enumerate(found[:12]):
        print(f"E{k + 1:<4}{value:8.2f}")
    print(f"mean {found[12]:8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
