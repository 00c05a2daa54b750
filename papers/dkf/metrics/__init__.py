"""Metrics of this paper's studies, by the names that they have there."""
