"""What sequences of tokens tell: entropies, transitions that never happened, cycles."""

import numpy as np

LONGEST_PERIOD = 1000


def conditional_entropy(tokens: np.ndarray, order: int) -> float:
    """Entropy of a token given the `order` before it, in nats, from frequencies.

        h_m = H(k_1 ... k_m+1) - H(k_1 ... k_m),   H = -Σ p log p

    tokens (case, time); no block reaches from one case into the next. Frequencies of n blocks
    underestimate the entropy where many blocks were seen once or never.
    """
    blocks = block_numbers(tokens[:, :-1], order) if order else np.zeros_like(tokens)
    longer = block_numbers(tokens, order + 1)
    return _entropy(longer) - _entropy(blocks)


def block_numbers(tokens: np.ndarray, length: int) -> np.ndarray:
    """(case, time) -> (case, time - length + 1), equal where `length` tokens in a row are equal.

    Blocks are numbered anew with every token, so that numbers never exceed the count of blocks
    times the vocabulary.
    """
    number = tokens.astype(np.int64)
    size = int(number.max()) + 1
    for i in range(1, length):
        joined = number[:, :-1] * size + tokens[:, i:]
        number = np.unique(joined, return_inverse=True)[1].reshape(joined.shape)
    return number


def _entropy(numbers: np.ndarray) -> float:
    frequency = np.unique(numbers, return_counts=True)[1] / numbers.size
    return float(-(frequency * np.log(frequency)).sum())


def bigrams(tokens: np.ndarray, vocabulary: int) -> np.ndarray:
    """(case, time) -> (bigram,), numbers of the transitions that occur, ascending."""
    return np.unique(_transitions(tokens, vocabulary))


def unseen_share(tokens: np.ndarray, seen: np.ndarray, vocabulary: int) -> float:
    """Share of the transitions of (case, time) that are not among `seen` bigrams."""
    return float(1 - np.isin(_transitions(tokens, vocabulary), seen).mean())


def _transitions(tokens: np.ndarray, vocabulary: int) -> np.ndarray:
    return tokens[:, :-1].astype(np.int64) * vocabulary + tokens[:, 1:]


def period(tail: np.ndarray, longest: int = LONGEST_PERIOD) -> int:
    """Smallest p ≤ `longest` with k_t = k_{t+p} throughout (time,), and seen twice; 0 for none."""
    for p in range(1, min(longest, len(tail) // 2) + 1):
        if tail[-1] == tail[-1 - p] and np.array_equal(tail[p:], tail[:-p]):
            return p
    return 0
