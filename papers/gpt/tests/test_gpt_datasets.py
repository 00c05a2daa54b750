"""Codecs, tokens and their continuations go to disk and back."""

import numpy as np
import pytest
import torch
import xarray as xr

from dalib import arrays, io
from dalib.codecs.bins import Bins
from dalib.systems.lorenz import Lorenz63
from papers.gpt import datasets

NAMES = Lorenz63().names


def states(*shape: int):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)).double()


def test_a_codebook_goes_to_disk_and_back(tmp_path):
    x = states(4, 60, 3)
    book = Bins(6).fit(x)
    ds = datasets.codec_dataset(book, NAMES, clipped_test=3, unseen_test=1)
    io.write(ds, tmp_path / "bins6.nc", title="codec")
    read = io.read(tmp_path / "bins6.nc")
    again = datasets.codebook(read)
    assert again.cells == 6
    for name in ("lower", "upper", "numbers", "visits"):
        assert torch.equal(getattr(again, name), getattr(book, name))
    assert torch.equal(again.encode(x), book.encode(x))
    np.testing.assert_array_equal(read.centre, book.centres)
    assert read.state.values.tolist() == list(NAMES)
    assert (int(read.clipped_test), int(read.unseen_test)) == (3, 1)


@pytest.mark.parametrize(("vocabulary", "kind"), [(5055, np.int16), (40_000, np.int32)])
def test_tokens_are_stored_small_and_keep_the_coordinates_of_the_truth(tmp_path, vocabulary, kind):
    truth = arrays.truth_dataset(states(2, 11, 3), seeds=(4, 9), interval=0.05, names=NAMES)
    tokens = torch.arange(vocabulary - 22, vocabulary).reshape(2, 11)
    ds = datasets.tokens_dataset(tokens, seed=truth.seed, time=truth.time, vocabulary=vocabulary)
    io.write(ds, tmp_path / "tokens.nc", title="tokens")
    read = io.read(tmp_path / "tokens.nc")
    assert read.token.dims == ("seed", "time") and read.token.dtype == kind
    assert torch.equal(arrays.to_tensor(read.token, torch.int64), tokens)
    stored = arrays.to_tensor(read.token, None)
    assert stored.dtype == getattr(torch, kind.__name__) and torch.equal(stored.long(), tokens)
    xr.testing.assert_equal(read.time, truth.time)
    assert read.seed.values.tolist() == [4, 9]


@pytest.mark.parametrize("repeats", [None, (0, 1)])
def test_forecasts_of_tokens_say_which_cells_they_mean(tmp_path, repeats):
    x = states(4, 60, 3)
    book = Bins(6).fit(x)
    truth = arrays.truth_dataset(x, seeds=range(4), interval=0.05, names=NAMES)
    runs = () if repeats is None else (len(repeats),)
    forecast = book.encode(x[:, :40]).reshape(4, 2, 20).expand(2, *runs, 4, 2, 20)
    ds = datasets.token_forecasts_dataset(
        forecast,
        book.encode(x[:3, :30]).expand(2, *runs, 3, 30),
        datasets.codec_dataset(book, NAMES),
        temperatures=(1.0, 0.0),
        repeats=repeats,
        seed=truth.seed,
        start=truth.time[[9, 19]],
        interval=0.05,
        log_loss=torch.ones(*runs, 5, 8) if repeats else None,
    )
    io.write(ds, tmp_path / "forecasts.nc", title="forecasts")
    read = io.read(tmp_path / "forecasts.nc")
    own = ("repeat",) if repeats else ()
    assert read.forecast.dims == ("temperature", *own, "seed", "start", "lead")
    assert read.free_run.dims == ("temperature", *own, "chain", "time")
    assert ("log_loss" in read) == bool(repeats)
    assert read.temperature.values.tolist() == [1.0, 0.0]
    np.testing.assert_allclose(read.start, [0.45, 0.95])
    np.testing.assert_allclose(read.lead, 0.05 * np.arange(1, 21))
    np.testing.assert_allclose(read.time, 0.05 * np.arange(1, 31))
    centres = read.centre.values[read.forecast.values]
    np.testing.assert_array_equal(centres, book.decode(forecast))
