import hashlib

import numpy as np
import pytest
import torch

from dalib.streams import integers, normal, normal_like, purpose, stream, streams, uniform


def test_a_stream_is_its_names():
    first = normal((5,), stream("2026/dkf/base", 3, "truth"))
    again = normal((5,), stream("2026/dkf/base", 3, "truth"))
    other = normal((5,), stream("2026/dkf/base", 3, "observations"))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, normal((5,), stream("2026/dkf/base", 31, "truth")))


@pytest.mark.parametrize(
    "draw",
    [normal, uniform, lambda shape, generator: integers(10, shape, generator)],
    ids=["normal", "uniform", "integers"],
)
def test_a_seed_gets_the_same_numbers_in_any_batch(draw):
    together = draw((4, 100), streams("run", range(4), "noise"))
    apart = [draw((100,), stream("run", seed, "noise")) for seed in range(4)]
    reordered = draw((2, 100), streams("run", (3, 1), "noise"))
    assert torch.equal(together, torch.stack(apart))
    assert torch.equal(reordered, together[[3, 1]])


def test_successive_draws_differ_and_leave_the_global_state_alone():
    before = torch.get_rng_state()
    generator = streams("run", range(2), "noise")
    assert not torch.equal(normal((2, 8), generator), normal((2, 8), generator))
    assert torch.equal(torch.get_rng_state(), before)


def test_moments_and_types():
    x = normal((4, 50_000), streams("run", range(4), "noise"))
    u = uniform((200_000,), stream("u"))
    n = integers(3, (60_000,), stream("n"))
    assert x.dtype == torch.float64
    assert normal((3,), stream("x"), torch.float32).dtype == torch.float32
    assert x.mean().abs() < 3 / 200_000**0.5
    assert (x.var() - 1).abs() < 3 * (2 / 200_000) ** 0.5
    assert u.min() >= 0 and u.max() < 1 and abs(u.mean() - 0.5) < 3 / (12 * 200_000) ** 0.5
    assert torch.equal(n.unique(), torch.arange(3))


def test_a_batch_of_another_size_than_its_streams_is_refused():
    with pytest.raises(ValueError, match=r"4 streams .* got shape \(3, 2\)"):
        normal((3, 2), streams("run", range(4), "noise"))
    with pytest.raises(ValueError, match="4 streams"):
        uniform((), streams("run", range(4), "noise"))


def test_numbers_like_a_tensor_have_its_shape_and_type():
    x = torch.zeros(2, 3, dtype=torch.float32)
    drawn = normal_like(x, streams("run", range(2), "noise"))
    assert drawn.shape == x.shape and drawn.dtype == x.dtype
    assert torch.equal(drawn, normal((2, 3), streams("run", range(2), "noise"), torch.float32))


def test_the_order_in_memory_changes_no_number():
    x = torch.zeros(2, 5, 3, dtype=torch.float64)
    columns = x.mT.contiguous().mT
    drawn, other = (normal_like(one, streams("run", range(2), "noise")) for one in (x, columns))
    assert torch.equal(drawn, other)
    assert other.stride() == columns.stride()


def test_streams_that_agree_in_the_first_32_bits_differ(monkeypatch):
    """Two of 1e5 names agree in 32 bits with probability 0.69, in 256 bits never."""

    def digest(last: bytes):
        class Fixed:
            def digest(self) -> bytes:
                return bytes(31) + last

        return lambda _: Fixed()

    drawn = []
    for last in (b"\0", b"\1"):
        monkeypatch.setattr("dalib.streams.hashlib.sha256", digest(last))
        drawn.append(normal((8,), stream("any")))
    assert not torch.isclose(*drawn).any()


def test_a_stream_is_a_mersenne_twister_from_the_seed_sequence_of_its_hash():
    """The raw words are those of numpy's own generator with the same state."""
    entropy = int.from_bytes(hashlib.sha256(b"a\0001").digest(), "little")
    words = np.random.SeedSequence(entropy).generate_state(624)
    twister = np.random.MT19937()
    twister.state = {"bit_generator": "MT19937", "state": {"key": words, "pos": 624}}
    drawn = torch.empty(5, dtype=torch.int32).random_(generator=stream("a", 1))
    assert drawn.tolist() == (twister.random_raw(5) % 2**31).tolist()


def test_numbers_lie_where_their_generator_lies():
    for draw in (normal, uniform):
        assert draw((2,), torch.Generator("cpu")).device.type == "cpu"
    if torch.cuda.is_available():
        assert normal((2,), torch.Generator("cuda")).device.type == "cuda"


def test_a_purpose_has_a_stream_of_its_own_however_much_another_drew():
    generator = streams("run", range(2), "fit")
    normal((2, 8), generator)
    found = purpose(generator, "watched")
    assert torch.equal(normal((2, 5), found), normal((2, 5), streams("run", range(2), "watched")))


def test_a_generator_without_a_name_gives_a_purpose_what_follows_from_its_seed():
    first, again = (purpose(torch.Generator().manual_seed(3), "watched") for _ in range(2))
    other = purpose(torch.Generator().manual_seed(4), "watched")
    drawn = normal((5,), first)
    assert torch.equal(drawn, normal((5,), again))
    assert not torch.equal(drawn, normal((5,), other))
