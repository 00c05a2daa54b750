"""How the process keeps its memory."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
MIB = 2**20


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed, up to 256 MiB; returns whether it does (elsewhere nothing).

    By default arrays above 128 KiB go back to the kernel when freed and are paged in anew, zeroed,
    at the next operation: half the CPU time of a loop over arrays of a megabyte.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, 32 * MIB) and mallopt(M_TRIM_THRESHOLD, 256 * MIB))
