"""The compiled emulator (numba). Imported by :func:`hardware.emulate` alone, so that ``import hardware`` needs NumPy
only.

* :mod:`.run` cuts time into chunks and the batch into blocks; :mod:`.components` says what must run step by step
  together; :mod:`.tables` turns synapses and parameters into what the kernels read.
* :mod:`.loop` is the compiled loop over steps and populations; :mod:`.neurons` are the steps of the models, readable in
  :mod:`hardware.neurons`; :mod:`.events` adds synapses to currents; :mod:`.vectors` are the instructions below.

Oracle: :class:`hardware.emulator.Emulator`. Results do not depend on chunks, blocks or threads, because every sum is of
integers.
"""
