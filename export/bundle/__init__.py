"""The folder of an exported network and its manifest."""
