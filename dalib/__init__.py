"""Learning, forecasting and filtering of dynamical systems."""
