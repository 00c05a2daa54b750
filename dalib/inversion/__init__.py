"""Parameters of models that are only run, never differentiated.

from dalib.inversion import ESMDA, black_box, invert

posterior = invert(ESMDA(), black_box(run), prior, y, obs_error, generator)
"""

from dalib.inversion.black_box import RunError, black_box
from dalib.inversion.correlation import CorrelationTaper
from dalib.inversion.ensemble import EKI, ESMDA, invert

__all__ = ["EKI", "ESMDA", "CorrelationTaper", "RunError", "black_box", "invert"]
