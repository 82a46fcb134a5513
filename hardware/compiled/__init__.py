"""The compiled emulator (numba). Imported by :func:`hardware.emulate` alone, so that ``import hardware`` needs NumPy
only.

* :mod:`.run` cuts time into chunks, :mod:`.blocks` the batch into blocks; :mod:`.components` says which populations
  must run step by step together; :mod:`.tables` and :mod:`.stamps` turn parameters and synapses into what the loop
  reads, once for a program; :mod:`.memory` holds what sources have sent.
* :mod:`.loop` is the compiled loop over steps and populations, with the :mod:`.records` that it is given;
  :mod:`.neurons` are the steps of the models, readable in :mod:`hardware.neurons`; :mod:`.events` adds synapses to
  currents; :mod:`.vectors` are the instructions below, :mod:`.compile` the decorators and their cache.

Oracle: :class:`hardware.emulator.Emulator`. Results do not depend on chunks, blocks or threads, because every sum is of
integers. Delays cost nothing: what a source sends lies in memory step by step, and a projection reads it so many steps
back.
"""
