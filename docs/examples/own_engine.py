"""An engine of one's own: what a simulator or a board has to offer. Here it is a copy of the emulator whose neurons
in one layer have a threshold that is too high by one, as a mistake in a chip's firmware might."""

import dataclasses

import numpy as np

import hardware


class Board:
    name = "board with a mistake"

    def run(self, program, inputs, record):
        odd = []
        for population in program.populations:
            values = dict(population.parameters)
            if "TH" in values:
                values["TH"] = np.asarray(values["TH"]) + 1
            odd.append(dataclasses.replace(population, parameters=values))
        return hardware.emulate(dataclasses.replace(program, populations=tuple(odd)), inputs, record)


board = Board()
