"""Scores of filters, forecasts and samples of a case, in datasets with a dimension `method`."""
