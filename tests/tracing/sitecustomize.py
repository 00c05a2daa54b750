"""Note which functions of dalib the script of a job enters, if DALIB_TRACE names a folder.

Python imports this module when it starts, wherever it lies on PYTHONPATH.
"""

import atexit
import json
import os
import sys
from pathlib import Path

FOLDER = os.environ.get("DALIB_TRACE")
seen = set()


def profile(frame, event, argument):
    if event == "call":
        seen.add(frame.f_code)


def leave():
    sys.setprofile(None)
    job = getattr(sys.modules.get("__main__"), "snakemake", None)
    if not hasattr(job, "output"):  # snakemake itself
        return
    entered = [
        (code.co_filename, code.co_qualname, code.co_firstlineno)
        for code in seen
        if f"{os.sep}dalib{os.sep}" in code.co_filename
    ]
    record = {"output": str(job.output[0]), "entered": sorted(entered)}
    Path(FOLDER, f"{os.getpid()}.json").write_text(json.dumps(record))


if FOLDER:
    atexit.register(leave)
    sys.setprofile(profile)
