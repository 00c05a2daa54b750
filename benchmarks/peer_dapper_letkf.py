"""Local analyses of DAPPER's LETKF on data from a file; runs in its environment."""

import json
import sys
import time

import numpy as np
from dapper.da_methods.ensemble import local_analyses
from dapper.tools.randvars import GaussRV


def run(problem: str, result: str) -> dict:
    """CPU time per column of one analysis, whose members go to the file `result`.

    Which observations a column has, and their weights, are given: no search is timed.
    """
    with np.load(problem) as file:
        given = dict(file)
    E, y = given["ensemble"], given["y"]
    R = GaussRV(C=float(given["obs_std"]) ** 2, M=len(y)).C
    first = given["first"]
    parts = [slice(*ends) for ends in zip(first[:-1], first[1:], strict=True)]
    local = [(given["seen"][part], given["taper"][part]) for part in parts]
    begin = time.process_time()
    following = iter(local)  # the columns in their order
    E, _ = local_analyses(
        E, given["predicted"], R, y, list(given["columns"]), lambda column: next(following)
    )
    seconds = time.process_time() - begin
    np.save(result, E)
    error = np.sqrt(np.mean((E.mean(0) - given["truth"]) ** 2))
    return {"microseconds": seconds / len(parts) * 1e6, "errors": [float(error)]}


for line in sys.stdin:
    print(json.dumps(run(**json.loads(line))), flush=True)
