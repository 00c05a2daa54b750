"""Scores of filters that learned, and what their learning costs."""
