"""Measurements of models and pipelines."""
