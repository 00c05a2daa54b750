"""The Lorenz-96 EnKF of Sakov and Oke (2008) in DAPPER, errors only; runs in its environment."""

import json
import sys
import time

import dapper
import dapper.da_methods
import dapper.tools.progressbar as progressbar
from dapper.dpr_config import rc
from dapper.mods.Lorenz96.sakov2008 import HMM

rc.liveplotting = False
rc.comps["error_only"] = True
rc.field_summaries = ["rms"]
progressbar.disable_progbar = progressbar.disable_user_interaction = True


def run(seeds: list[int], cycles: int, burn_in: int, members: int, inflation: float) -> dict:
    """CPU time of the assimilation alone, and its errors after the burn-in."""
    HMM.tseq.Ko = cycles - 1
    HMM.tseq.BurnIn = burn_in * HMM.tseq.dto
    errors, seconds = [], 0.0
    for seed in seeds:
        dapper.set_seed(3000 + seed)
        xx, yy = HMM.simulate()
        xp = dapper.da_methods.EnKF("PertObs", N=members, infl=inflation)
        begin = time.process_time()
        xp.assimilate(HMM, xx, yy, liveplots=False)
        seconds += time.process_time() - begin
        xp.stats.average_in_time()
        errors.append(float(xp.avrgs.err.rms.a.val))
    return {"microseconds": seconds / len(seeds) / cycles * 1e6, "errors": errors}


for line in sys.stdin:
    print(json.dumps(run(**json.loads(line))), flush=True)
