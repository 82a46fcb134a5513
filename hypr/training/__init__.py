"""Training: configuration, the loop, its files and its figures."""
