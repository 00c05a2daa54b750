"""Filters of a real field that sparse stations observe, beside what is known without a model."""
