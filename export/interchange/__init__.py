"""The network as difference equations and as a NIR graph: reading, writing, discretising."""
