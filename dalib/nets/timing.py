"""CPU seconds of an update of a small GPT in each precision: `python -m dalib.nets.timing`."""

import json
import time

import torch

from dalib.nets.gpt import GPT, PRECISIONS

SHAPE = {"vocabulary": 2000, "layers": 1, "width": 64, "heads": 2, "context": 64}
WINDOWS, TURNS = 8, 4


def seconds() -> dict[str, float]:
    """The least of some updates in turn, so that a disturbance meets both."""
    networks = {name: GPT(**SHAPE, precision=name) for name in PRECISIONS}
    batch = torch.arange(WINDOWS * (SHAPE["context"] + 1)).view(1, WINDOWS, -1)
    found: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(TURNS + 1):
        for name, network in networks.items():
            begin = time.process_time()
            network.loss(batch, 0.0, None).sum().backward()
            found[name].append(time.process_time() - begin)
    return {name: min(times[1:]) for name, times in found.items()}  # the first warms up


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(seconds()))
