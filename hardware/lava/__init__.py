"""Run a :class:`hardware.program.Program` on Lava's CPU backend.

Two ways in:

* Anywhere: ``hardware.lava.runtime.run(program, inputs, record)`` starts a worker in the managed Python 3.10 runtime
  (``environment.py`` makes it, ``paths.py`` knows where it is) and reads the trace back. Nothing here imports Lava in
  the calling process.
* On a host whose own interpreter has Lava (Python 3.10, NumPy 1.26; neither torch nor the rest of this project is
  needed)::

      from hardware.lava.builder import LavaNetwork
      from hardware.program_file import load

      if __name__ == "__main__":                      # Lava starts processes: every script needs this guard
          trace = LavaNetwork(load("program.npz"), inputs, record=("u", "v")).run()

Layout: ``processes/`` holds one file per neuron model, with its Lava Process and ProcessModels and nothing else,
because Lava's compiler executes every file beside a Process; ``neuron.py``, ``schedule.py`` and ``recorder.py`` are
what those files share.
"""
