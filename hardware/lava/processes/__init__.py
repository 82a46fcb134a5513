"""Lava Processes, one file per neuron model or connection. Nothing else may stand here: Lava's compiler executes every
file of this folder.
"""
