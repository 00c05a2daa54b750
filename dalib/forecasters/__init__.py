"""Forecasters: from a past to what follows.

    from dalib.forecasters import ESN, NVAR, TrainingData

    data = TrainingData(train, valid, interval=0.02)         # (case, time, state) each
    for method in (NVAR(degree=3), ESN(units=300)):
        fitted = method.fit(data, torch.Generator().manual_seed(0))
        ahead = fitted.forecast(context, 500, None)          # (member, case, 500, state)

`dalib.fitted.to_dataset` and `from_dataset` save what was fitted. A method of your own is a frozen
dataclass with `needs` and `fit`, see `dalib.forecasters.base`; in a configuration it is named
`kind: my_lab:MyMethod`.
"""

from dalib.forecasters.analogue import Analogue
from dalib.forecasters.base import Fitted, Forecaster, OneStepMap, TrainingData, fit_each
from dalib.forecasters.climatology import Climatology
from dalib.forecasters.esn import ESN
from dalib.forecasters.lstm import LSTM
from dalib.forecasters.nvar import NVAR
from dalib.forecasters.persistence import Persistence

__all__ = [
    "ESN",
    "LSTM",
    "NVAR",
    "Analogue",
    "Climatology",
    "Fitted",
    "Forecaster",
    "OneStepMap",
    "Persistence",
    "TrainingData",
    "fit_each",
]
