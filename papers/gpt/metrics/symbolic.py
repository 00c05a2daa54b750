"""What sequences of tokens tell: entropies, transitions that never happened, cycles."""

import numpy as np

LONGEST_PERIOD = 1000


def conditional_entropies(tokens: np.ndarray, longest: int) -> np.ndarray:
    """Entropy of a token given the m before it, m = 1 ... `longest`, from frequencies, in nats.

        h_m = H(k_1 ... k_m+1) - H(k_1 ... k_m),   H = -Σ p log p

    (case, time) -> (longest,). No block reaches from one case into the next; the contexts counted
    are those that a token follows. Frequencies underestimate an entropy where many blocks were seen
    once.

    Range: 0 to the logarithm of the vocabulary; that of the truth is right.
    Source: Shannon 1948.
    """
    if tokens.shape[1] <= longest:
        raise ValueError(
            f"entropies of order {longest} need series of more than {longest} tokens, got "
            f"{tokens.shape[1]}"
        )
    size = int(tokens.max()) + 1
    context, entropies = tokens.astype(np.int64), []
    for m in range(1, longest + 1):
        block = context[:, :-1] * size + tokens[:, m:]
        entropies.append(_entropy(block) - _entropy(context[:, :-1]))
        if m < longest:  # numbered anew, so that numbers never exceed blocks times vocabulary
            context = np.unique(block, return_inverse=True)[1].reshape(block.shape)
    return np.array(entropies)


def _entropy(numbers: np.ndarray) -> float:
    frequency = np.unique(numbers, return_counts=True)[1] / numbers.size
    return float(-(frequency * np.log(frequency)).sum())


def words(tokens: np.ndarray, vocabulary: int, length: int = 2) -> np.ndarray:
    """(case, time) -> (word,), numbers of the stretches of `length` tokens that occur."""
    return np.unique(_numbers(tokens, vocabulary, length))


def unseen_share(tokens: np.ndarray, seen: np.ndarray, vocabulary: int, length: int = 2) -> float:
    """Share of the stretches of `length` tokens of (case, time) that are not among `seen` words.

        #{ t : (k_t ... k_{t+length-1}) not in S } / #{ t }

    Range: 0 to 1; that of another true run is the floor.
    """
    return float((~np.isin(_numbers(tokens, vocabulary, length), seen)).mean())


def unseen_by_chance(visits: np.ndarray, seen: np.ndarray) -> float:
    """Share of unseen pairs among tokens drawn one by one with the frequencies of (token,) visits.

    1 - Σ p_i p_j over the pairs (i, j) among `seen` words of two
    """
    share = visits / visits.sum()
    return float(1 - (share[seen // len(share)] * share[seen % len(share)]).sum())


def _numbers(tokens: np.ndarray, vocabulary: int, length: int) -> np.ndarray:
    """(case, time) -> (case, time - length + 1), none from one case into the next."""
    if vocabulary**length >= 2**63:
        raise ValueError(f"stretches of {length} among {vocabulary} tokens are too many to number")
    end = tokens.shape[1] - length + 1
    numbers = np.zeros((len(tokens), end), dtype=np.int64)
    for i in range(length):
        numbers = numbers * vocabulary + tokens[:, i : i + end]
    return numbers


def period(tokens: np.ndarray, tail: int, longest: int = LONGEST_PERIOD) -> int:
    """Smallest p ≤ `longest` with k_t = k_{t-p} in all of the last `tail` of (time,); 0 for none.

        min { p : k_t = k_{t-p} for the last `tail` times t }

    Only periods that the series has room for are tried: it must hold tail + p tokens.

    Range: 0 to `longest`; 0 is right for a chaotic system.
    """
    if tail < 1:
        raise ValueError(f"a cycle is looked for in at least 1 token, got a tail of {tail}")
    end = len(tokens)
    for p in range(1, min(longest, end - tail) + 1):
        if np.array_equal(tokens[end - tail :], tokens[end - tail - p : end - p]):
            return p
    return 0
