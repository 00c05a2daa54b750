import subprocess
import sys

import pytest

CHILD = """
import resource, torch
from dalib.memory import keep_freed_memory
torch.set_num_threads(1)
if {keep}:
    assert keep_freed_memory()
x = torch.ones(200_000, dtype=torch.float64)  # 1.6 MB
for _ in range(20):
    x = x * 1.0 + 0.0
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    x = x * 1.0 + 0.0
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep: bool) -> int:
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(keep=keep)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="tunes glibc")
def test_kept_memory_is_not_paged_in_again():
    """50 arrays of 390 pages; a kept one may still be paged in once."""
    assert faults(keep=True) < 50 * 390 / 10
