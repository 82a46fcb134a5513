"""Worked examples: each file runs as it stands, ``python -m hypr.examples.own_loop``."""
