"""The GPT against GPT-2 of `transformers`: training steps and generation, in turns on one thread.

    python -m benchmarks.gpt_speed

Both have the same shape, data, dtype, optimiser and clipping, and attend through
`scaled_dot_product_attention`. Generation keeps keys and values; when the context is full both read
its last half again, which for the other library means to start anew. Of its own `generate` and a
plain loop over its `forward` the faster counts. Ratios are of CPU time, taken within a turn.

The ceiling is the speed of products of 1024 x 1024 matrices of that dtype, measured in every turn;
the work counted against it is that of the formulas below, without element-wise functions.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
import transformers
from torch import Tensor
from torch.nn.functional import cross_entropy

from dalib.forecasters.gpt import GPTForecaster
from dalib.memory import keep_freed_memory
from dalib.nets.gpt import GPT
from dalib.streams import stream
from dalib.train import Training, fit

TRAINING_TARGET, GENERATION_TARGET = 1.15, 2.0
CASES = 20  # sequences generated at once
SIZE = 1024  # of the matrices for the ceiling


class Shape(NamedTuple):
    """A network and its batches of training windows."""

    layers: int
    width: int
    heads: int
    vocabulary: int
    context: int
    batch: int

    def __str__(self) -> str:
        return f"{self.layers} x {self.width}, V = {self.vocabulary}, C = {self.context}"

    @property
    def inner(self) -> int:
        """Weights of the layers' products."""
        return 12 * self.layers * self.width**2

    def training_work(self) -> float:
        """Floating-point operations per token, forwards and backwards."""
        products = 6 * (self.inner + self.vocabulary * self.width)
        return products + 12 * self.layers * self.width * self.context

    def generation_work(self) -> float:
        """The same per generated token: itself, and one that is read again."""
        head = 2 * self.vocabulary * self.width
        attention = 4 * self.layers * self.width * self.context * (0.75 + 0.5)
        return 2 * 2 * self.inner + head + attention


SHAPES = [
    Shape(2, 64, 2, 343, 64, 64),
    Shape(2, 96, 3, 5055, 64, 32),
    Shape(4, 128, 4, 5055, 128, 16),
]


def ours(shape: Shape, precision: str = "float32") -> GPT:
    return GPT(
        shape.vocabulary,
        layers=shape.layers,
        width=shape.width,
        heads=shape.heads,
        context=shape.context,
        precision=precision,
        generator=stream("weights"),
    )


def theirs(shape: Shape) -> transformers.GPT2LMHeadModel:
    config = transformers.GPT2Config(
        vocab_size=shape.vocabulary,
        n_positions=shape.context,
        n_embd=shape.width,
        n_layer=shape.layers,
        n_head=shape.heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
        attn_implementation="sdpa",
    )
    return transformers.GPT2LMHeadModel(config)


def train_ours(network: GPT, batch: Tensor, steps: int) -> None:
    training = Training(steps, 1e-4, clip=1.0, decay=0.01, check_every=steps)
    fit(network, lambda generator: batch[None], training, generator=stream("training"))


def train_theirs(
    network: transformers.GPT2LMHeadModel, batch: Tensor, steps: int, low: bool = False
) -> None:
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=0.01, fused=True)
    for _ in range(steps):
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            logits = network(batch[:, :-1], use_cache=False).logits
            loss = cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()


def generate_ours(network: GPT, past: Tensor, steps: int) -> Tensor:
    return GPTForecaster(network).generate(past, steps, 1.0, stream("generation"))[0]


@torch.inference_mode()
def generate_theirs(
    network: transformers.GPT2LMHeadModel, past: Tensor, steps: int, continued: Callable
) -> Tensor:
    """The last half of a context at a time, by their `generate` or by a plain loop."""
    network.eval()
    half = network.config.n_positions // 2
    for _ in range(steps // half):
        past = continued(network, past[:, -half:], half)
    return past


def _generated(network: transformers.GPT2LMHeadModel, past: Tensor, steps: int) -> Tensor:
    settings = {"do_sample": True, "top_k": 0, "use_cache": True, "pad_token_id": 0}
    mask = torch.ones_like(past)
    return network.generate(past, attention_mask=mask, max_new_tokens=steps, **settings)


def _looped(network: transformers.GPT2LMHeadModel, past: Tensor, steps: int) -> Tensor:
    tokens, cache = past, None
    for _ in range(steps):
        answer = network(past, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache = answer.past_key_values
        past = torch.multinomial(torch.softmax(answer.logits[:, -1], -1), 1)
        tokens = torch.cat([tokens, past], 1)
    return tokens


def seconds(run: Callable[[], object]) -> float:
    begin = time.process_time()
    run()
    return time.process_time() - begin


def ceiling(dtype: torch.dtype = torch.float32) -> float:
    """Floating-point operations per second in products."""
    a = torch.ones(SIZE, SIZE, dtype=dtype)
    return 5 * 2 * SIZE**3 / seconds(lambda: [a @ a for _ in range(5)])


class Row(NamedTuple):
    """One comparison: tokens per run, their work, and the runs of both sides."""

    name: str
    tokens: int
    work: float
    theirs: list[Callable[[], object]]  # the fastest counts
    ours: Callable[[], object]
    target: float | None = None
    dtype: torch.dtype = torch.float32


def rows(shape: Shape, scale: int) -> list[Row]:
    batch = torch.randint(shape.vocabulary, (shape.batch, shape.context + 1))
    past = torch.randint(shape.vocabulary, (CASES, shape.context // 2))
    steps = max(2, round(scale * 4e10 / shape.training_work() / batch[:, 1:].numel()))
    length = shape.context // 2 * 4 * scale
    own, other, low = ours(shape), theirs(shape), ours(shape, "bfloat16")
    trained, generated = steps * batch[:, 1:].numel(), CASES * length
    found = [
        Row(
            f"training, {shape}",
            trained,
            shape.training_work(),
            [lambda: train_theirs(other, batch, steps)],
            lambda: train_ours(own, batch, steps),
            TRAINING_TARGET,
        ),
        Row(
            f"generation, {shape}",
            generated,
            shape.generation_work(),
            [
                lambda: generate_theirs(other, past, length, _generated),
                lambda: generate_theirs(other, past, length, _looped),
            ],
            lambda: generate_ours(own, past, length),
            GENERATION_TARGET,
        ),
    ]
    if torch.cpu._is_avx512_bf16_supported():
        found.append(
            Row(
                f"training in bfloat16, {shape}",
                trained,
                shape.training_work(),
                [lambda: train_theirs(other, batch, steps, low=True)],
                lambda: train_ours(low, batch, steps),
                dtype=torch.bfloat16,
            )
        )
    return found


def compared(row: Row, pairs: int) -> bool:
    """Print the medians over the turns; True when the ratio reaches the target."""
    turns = []
    for _ in range(pairs + 1):
        top = ceiling(row.dtype)
        turns.append((min(map(seconds, row.theirs)), seconds(row.ours), top))
    turns = turns[1:]  # the first warms up
    other, own = (statistics.median(row.tokens / turn[i] for turn in turns) for i in (0, 1))
    share = statistics.median(row.tokens * row.work / turn[1] / turn[2] for turn in turns)
    ratios = [a / b for a, b, _ in turns]
    ratio = statistics.median(ratios)
    print(
        f"| {row.name} | {other:.0f} | {own:.0f} | {ratio:.2f} ({min(ratios):.2f} ... "
        f"{max(ratios):.2f}) | {row.target or '-'} | {share:.0%} |",
        flush=True,
    )
    return row.target is None or ratio >= row.target


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="turns; the median ratio counts")
    parser.add_argument("--scale", type=int, default=1, help="how much to do in a turn")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    keep_freed_memory()
    transformers.logging.set_verbosity_error()
    print("| | theirs, tokens/s | ours, tokens/s | ratio | target | ours / ceiling |")
    print("| --- | --- | --- | --- | --- | --- |")
    passed = [
        compared(row, arguments.pairs) for shape in SHAPES for row in rows(shape, arguments.scale)
    ]
    version, top = transformers.__version__, ceiling() / 1e9
    print(f"\nceiling {top:.0f} GFLOP/s in float32; transformers {version}")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
