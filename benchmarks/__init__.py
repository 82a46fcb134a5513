"""Side-by-side measurements: everything that is compared runs interleaved in one process on one machine."""
