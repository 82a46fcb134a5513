"""Run a :class:`hardware.program.Program` on Lava's CPU backend.

Three ways in:

* Anywhere: ``hardware.lava.runtime.run(program, inputs, record)`` starts a worker in the managed Python 3.10 runtime
  (``environment.py`` makes it, ``paths.py`` knows where it is) and reads the trace back. Nothing here imports Lava in
  the calling process.
* On a host whose own interpreter has Lava (Python 3.10, NumPy 1.26; neither torch nor the rest of this project is
  needed; an exported ``lava`` folder has this package as a wheel)::

      from hardware.lava.builder import LavaNetwork
      from hardware.program_file import load

      if __name__ == "__main__":                      # Lava starts processes: every script needs this guard
          trace = LavaNetwork(load("program.npz"), inputs, record=("u", "v")).run()

* There, in a Lava program of one's own: ``hardware.lava.network.Network`` makes the connected Processes and hands out
  their ports and Vars, for RingBuffers, Monitors and other Processes; ``examples/`` holds two whole programs.

What Lava offers runs as Lava's own: its Dense (``synapses.py`` says how, ``connections="dense"``) and its LIF wherever
that is exact (``assignment.py`` says where). Networks for lava-dl's netx (HDF5) are not written: lava-dl is archived
and would put torch 2.3 and CUDA into the runtime.

Layout: ``processes/`` holds one file per neuron model or connection, with its Lava Process and ProcessModels and
nothing else, because Lava's compiler executes every file beside a Process; ``neuron.py``, ``connection.py``,
``schedule.py``, ``start.py`` and ``recorder.py`` are what those files share.
"""
