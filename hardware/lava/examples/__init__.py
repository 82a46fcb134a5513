"""Two whole Lava programs around a network of this package; an exported folder for Lava holds copies of them."""
