"""What matters on processors with fewer instructions than this one: older and common CPUs.

Each runs in a process of its own, since torch asks these variables when it is loaded.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROCESSORS = {
    "native": {},
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
    "default": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    },
}
UNITS = ("test_gpt", "test_gpt_forecaster", "test_train", "test_filters_kalman")
TRAINED = """
import json, sys, torch
from dalib.filters import Gaussian, assimilate
from dalib.filters.etkf import ETKF
from dalib.nets.gpt import GPT
from dalib.streams import stream
from dalib.train import Training, Windows, fit

torch.set_num_threads(1)
x = torch.arange(400).view(4, 100)
draw = Windows((x * x // 7) % 300, 17, 8, 1)
losses = {}
for precision in ("float32", "bfloat16"):
    shape = {"layers": 2, "width": 32, "heads": 2, "context": 16, "precision": precision}
    network = GPT(300, **shape, generator=stream("weights"))
    training = Training(10, 1e-2, clip=1.0, check_every=10)
    losses[precision] = fit(network, draw, training, generator=stream("training")).loss[0].tolist()
etkf = ETKF(step=lambda x: 0.9 * x, observe=lambda x: x[..., :2], obs_std=0.5, members=8)
y = torch.cos(torch.arange(40.0)).view(20, 2).double()
prior = Gaussian(torch.zeros(3).double(), torch.eye(3).double())
losses["etkf"] = assimilate(etkf, prior, y, stream("etkf")).mean[-1].tolist()
print(json.dumps(losses | {"capability": torch.backends.cpu.get_cpu_capability()}))
"""


def run(arguments: list[str], processor: str) -> str:
    """What a Python process prints on such a processor."""
    environment = os.environ | PROCESSORS[processor] | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("processor", ["avx2", "default"])
def test_units_hold_on_other_processors(processor):
    files = [f"tests/{name}.py" for name in UNITS]
    options = ["-q", "-x", "-m", "not slow", "-p", "no:cacheprovider", "-p", "no:xdist"]
    assert "passed" in run(["-m", "pytest", *options, *files], processor)


@pytest.mark.parametrize("processor", ["avx2", "default"])
def test_results_are_those_of_this_processor_to_rounding(processor):
    here, there = (json.loads(run(["-c", TRAINED], name)) for name in ("native", processor))
    assert there["capability"].lower() in (processor, "no avx", "default")
    assert there["float32"] == pytest.approx(here["float32"], rel=1e-4)
    assert there["bfloat16"] == pytest.approx(here["float32"], rel=0.02)
    assert there["etkf"] == pytest.approx(here["etkf"], rel=1e-5)  # draws differ by rounding
