import numpy as np
import pytest
import torch

from dalib.codecs import bins
from dalib.codecs.bins import Bins, Codebook, smallest_integer


@pytest.fixture
def states():
    return torch.randn(40, 60, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_decoded_states_lie_within_half_a_cell(states):
    book = Bins(12).fit(states)
    error = (book.decode(book.encode(states)) - states).abs()
    assert (error <= book.width / 2 + 1e-12).all()


def test_centres_belong_to_their_own_cells(states):
    book = Bins(12).fit(states)
    assert torch.equal(book.encode(book.centres), torch.arange(book.size))


def test_numbers_are_those_of_the_cells_in_c_order(states):
    book = Bins(7).fit(states)
    flat = states.reshape(-1, 3).numpy()
    low, high = flat.min(0), flat.max(0)
    index = np.clip(np.floor((flat - low) / ((high - low) / 7)), 0, 6).astype(int)
    number = np.ravel_multi_index(tuple(index.T), (7, 7, 7))
    expected, counts = np.unique(number, return_counts=True)
    assert np.array_equal(book.numbers, expected)
    assert np.array_equal(book.visits, counts)
    assert np.array_equal(book.numbers[book.encode(states)].flatten(), number)


def test_the_upper_edge_belongs_to_the_last_cell():
    book = Bins(4).fit(torch.linspace(0, 1, 9, dtype=torch.float64)[:, None])
    assert book.encode(torch.tensor([[1.0]], dtype=torch.float64)).item() == book.size - 1


def test_a_state_outside_is_clipped_and_counted(states):
    book = Bins(5).fit(states)
    beyond = torch.stack([states[0, 0], book.upper + 1.0, book.lower - 1.0])
    assert book.outside(beyond) == 2
    assert book.outside(states) == 0
    edge = book.encode(beyond)
    inside = book.encode(torch.minimum(torch.maximum(beyond, book.lower), book.upper))
    assert torch.equal(edge, inside)


def test_an_unseen_cell_becomes_the_nearest_visited_one_and_of_two_the_lowest():
    lower, upper = torch.zeros(2, dtype=torch.float64), torch.full((2,), 5.0, dtype=torch.float64)
    numbers = torch.tensor([0, 2, 24])  # cells (0, 0), (0, 2), (4, 4) of 5 x 5
    book = Codebook(lower, upper, 5, numbers, torch.ones(3, dtype=torch.int64))
    x = torch.tensor([[0.5, 1.5], [3.5, 4.5], [0.5, 2.5]], dtype=torch.float64)
    assert book.encode(x).tolist() == [0, 2, 1]
    assert book.unseen(x) == 2


def test_nearest_cells_are_those_of_an_exhaustive_search(states):
    book = Bins(9).fit(states[:3])
    other = states[3:]
    index = book._indices(torch.arange(9**3))
    visited = book._indices(book.numbers)
    distance = ((index[:, None] - visited[None]) ** 2).sum(-1)
    expected = distance.argmin(1)  # the first of equal ones
    within = torch.maximum(torch.minimum(other, book.upper), book.lower)
    number = ((within - book.lower) / book.width).floor().clamp(0, 8).long()
    number = number @ torch.tensor([81, 9, 1])
    assert torch.equal(book.encode(other), expected[number])


def test_the_box_is_that_of_the_training_part_alone(states):
    book = Bins(5).fit(states[:10])
    flat = states[:10].reshape(-1, 3)
    assert torch.equal(book.lower, flat.amin(0))
    assert torch.equal(book.upper, flat.amax(0))


@pytest.mark.parametrize(
    ("train", "cells", "message"),
    [
        (torch.rand(5, 2), 0, "at least 1 cell"),
        (torch.rand(50, 2), 1, "one cell"),
        (torch.ones(5, 2), 3, "component 0, 1 .* never changes"),
        (torch.tensor([[0.0], [float("nan")]]), 3, "1 of 2 are not"),
    ],
)
def test_what_cannot_be_a_vocabulary_is_refused(train, cells, message):
    with pytest.raises(ValueError, match=message):
        Bins(cells).fit(train)


def test_states_of_another_size_are_refused(states):
    with pytest.raises(ValueError, match="3 components, got states of 2"):
        Bins(4).fit(states).encode(states[..., :2])


@pytest.mark.parametrize("wrong", [-1, 500])
def test_what_is_no_token_has_no_state(states, wrong):
    book = Bins(4).fit(states)
    said = f"vocabulary of {book.size} has the tokens 0 to {book.size - 1}, got {wrong}; encode"
    with pytest.raises(ValueError, match=said):
        book.decode(torch.tensor([0, wrong]))


def test_tokens_are_stored_in_the_smallest_integers():
    assert smallest_integer(5055) == np.int16
    assert smallest_integer(2**15) == np.int32


def test_chunks_leave_no_seam(monkeypatch, states):
    whole = Bins(12).fit(states)
    tokens = whole.encode(2 * states)
    monkeypatch.setattr(bins, "CHUNK", 7)
    monkeypatch.setattr(bins, "DISTANCES", 100)
    parts = Bins(12).fit(states)
    assert torch.equal(parts.numbers, whole.numbers) and torch.equal(parts.visits, whole.visits)
    assert torch.equal(parts.encode(2 * states), tokens)
    assert parts.outside(2 * states) == whole.outside(2 * states) > 0
    assert parts.unseen(2 * states) == whole.unseen(2 * states) > 0


def test_no_states_have_no_tokens(states):
    book = Bins(5).fit(states)
    assert book.encode(states[:0]).shape == (0, 60)
    assert book.encode(states[0, 0]).shape == ()
    assert book.outside(states[:0]) == book.unseen(states[:0]) == 0


def test_more_cells_than_64_bits_can_number_are_refused():
    with pytest.raises(ValueError, match="2000 cells for each of 6 components"):
        Bins(2000).fit(torch.rand(10, 6))
