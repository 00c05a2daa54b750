"""One analysis in a latent space against one in full space: CPU time, with and without the codec.

    python -m benchmarks.latent

A map of 150 x 150 points with three variables, every 15th point observed, N = 20, K = 100 steps of
the score filters, float32, one thread. The codec is the coupled VAE of the paper's size, r = 400
and width 16, with its first weights: time does not depend on what they are. Codec: all members and
the observation encoded, all members decoded. LETKF: full space as in `benchmarks.local_letkf`; of
codes each point of the 5 x 5 latent map with its neighbours. Score filters take every step, as
published, and where it says so all at once (`dalib.filters.ensf_linear`).

The target is that of Latent-EnSF to full-space EnSF, codec included.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks.local_letkf import ERROR, EVERY, MEMBERS, MOST, RADIUS, SHAPE, smooth
from dalib.filters import Ensemble
from dalib.filters.ensf import EnSF
from dalib.filters.letkf import LETKF
from dalib.localise import Localisation, on_map
from dalib.memory import keep_freed_memory
from dalib.nets.scaling import per_variable
from dalib.nets.vae import CoupledVAE
from dalib.observe import EveryKth, Identity
from dalib.streams import Streams, normal, stream

LATENT, WIDTH, ON_MAP = 400, 16, 1.5 / 1.82
TARGET = 2.0  # times faster than the EnSF in full space


def same(x: Tensor) -> Tensor:
    return x


class Problem:
    """Members, an observation, their codes, and what analyses them."""

    def __init__(self):
        operator, generator = EveryKth(SHAPE, EVERY), Streams((stream("bench", "latent"),))
        truth, *members = smooth(1 + MEMBERS, "latent").float()
        self.E = torch.stack(members)
        y = operator(truth)
        self.y = y + ERROR * normal(tuple(y.shape), stream("bench", "latent", "errors")).float()
        scaling = per_variable(self.E, SHAPE[0])
        self.codec = CoupledVAE(
            scaling, SHAPE, EVERY, latent=LATENT, width=WIDTH, generator=generator
        )
        common = {"step": same, "members": MEMBERS}
        of_codes = {**common, "observe": Identity(LATENT)}
        channels = LATENT // (self.codec.latent_map[0] * self.codec.latent_map[1])
        on_codes = Localisation(on_map((channels, *self.codec.latent_map)), ON_MAP)
        self.latent = {
            "Latent-EnSF": EnSF(**of_codes, obs_std=0.001, scale=100.0, composed=False),
            "Latent-LETKF": LETKF(**of_codes, obs_std=0.3, localisation=on_codes, most=None),
        }
        seen = {**common, "observe": operator}
        self.full = {
            "EnSF": EnSF(**seen, obs_std=ERROR, scale=10.0, composed=False),
            "EnSF, steps at once": EnSF(**seen, obs_std=ERROR, scale=10.0),
            "LETKF": LETKF(
                **seen, obs_std=ERROR, localisation=Localisation(on_map(SHAPE), RADIUS), most=MOST
            ),
        }
        self.z, self.z_obs = self.coded()

    @torch.no_grad()
    def coded(self) -> tuple[Tensor, Tensor]:
        """Codes of all members and of the observation; all members are decoded too."""
        z, _ = self.codec.encode(self.E)
        z_obs, _ = self.codec.encode_observations(self.y)
        self.codec.decode(z)
        return z.double(), z_obs.double()

    def analyses(self) -> dict[str, Callable[[], object]]:
        """{method: one analysis of it, without a codec}."""
        latent = {name: (one, self.z, self.z_obs) for name, one in self.latent.items()}
        full = {name: (one, self.E, self.y) for name, one in self.full.items()}
        return {
            name: partial(one.analyse, Ensemble(E), y, stream("bench", "latent", name))
            for name, (one, E, y) in (latent | full).items()
        }


def seconds(call: Callable[[], object]) -> float:
    begin = time.process_time()
    call()
    return time.process_time() - begin


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5, help="the median counts")
    turns = parser.parse_args().turns
    torch.set_num_threads(1)
    keep_freed_memory()
    problem = Problem()
    calls = problem.analyses() | {"codec": problem.coded}
    for call in calls.values():
        call()  # warms up; the neighbours of a local filter are searched once
    took = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            took[name].append(seconds(call))
    median = {name: statistics.median(values) for name, values in took.items()}
    print(
        "| method | analysis, ms | with codec | times faster than EnSF | with codec |\n"
        + 5 * "| --- "
        + "|"
    )
    for name in [*problem.latent, *problem.full]:
        alone = median[name]
        whole = alone + (median["codec"] if name in problem.latent else 0.0)
        print(
            f"| {name} | {1e3 * alone:.1f} | {1e3 * whole:.1f} | {median['EnSF'] / alone:.1f} "
            f"| {median['EnSF'] / whole:.1f} |"
        )
    ratio = median["EnSF"] / (median["Latent-EnSF"] + median["codec"])
    print(
        f"\nLatent-EnSF with codec {ratio:.1f} times faster than EnSF (median of {turns} turns), "
        f"target {TARGET:g}: {'PASS' if ratio >= TARGET else 'MISSED'}"
    )
    return 0 if ratio >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
