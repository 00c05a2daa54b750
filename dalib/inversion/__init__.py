"""Parameters of models that are only run, never differentiated.

from dalib.inversion import ESMDA, EKI, from_numpy, invert

posterior = invert(ESMDA(), from_numpy(run), prior, y, obs_std, generator)    # (member, parameter)
"""

from dalib.inversion.black_box import RunError, from_numpy
from dalib.inversion.ensemble import EKI, ESMDA, Inversion, invert

__all__ = ["EKI", "ESMDA", "Inversion", "RunError", "from_numpy", "invert"]
