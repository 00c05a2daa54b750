"""Tests run as jobs do: one thread, no display."""

import os

os.environ.setdefault("MPLBACKEND", "Agg")

import torch  # noqa: E402

torch.set_num_threads(1)


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: a network of the paper's size (a minute, 4 GiB)")
