"""The engines, and the proof that they compute the same integers."""
