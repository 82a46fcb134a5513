"""A neuron of one's own, trained, exported and verified: its float step, its integer step, and how the two belong
together."""

import numpy as np
import torch

import hypr
from hardware.fixed_point import mulsh, sat


class Leaky(hypr.Neuron):
    """``u = decay u' (1 - z') + I``, spike ``u > 1``; in integers ``u = sat((D u') >> K + drive + bias)``, ``u' = 0``
    after a spike, spike ``u > TH``."""

    kind = "example_leaky"
    state_names = ("u",)
    trainable = {"decay": hypr.Range((0.8, 0.95), low=0.0, high=0.99)}

    def step(self, state, z, current, parameters):
        u = parameters["decay"] * state[0] * (1 - z) + current
        return (u,), self.spike(u - 1.0)

    integer_parameters = {"D": (0, None), "TH": (0, 2**23 - 1)}  # None: 2^K

    @staticmethod
    def integer_step(n, states, spikes_before, drive):  # int64 and bool (samples, neurons)
        u = np.where(spikes_before, 0, states[0])
        u = sat(mulsh(u, n["D"], n["K"]) + drive + n["bias"])
        return (u,), u > n["TH"]

    @staticmethod
    def quantize(parameters, unit, shifts):  # unit: value of one step of u
        return {"D": parameters["decay"] * 2 ** shifts["K"], "TH": 1.0 / unit}

    @staticmethod
    def dequantize(integers, unit, shifts):  # for training on integers, and the staircase
        return {"decay": integers["D"] / 2 ** shifts["K"]}


def main() -> None:
    """Train on a small task, deploy, and tell what was compared."""
    draw = np.random.default_rng(0)
    y = draw.integers(2, size=256)
    x = (draw.random((256, 60, 8)) < 0.05 + 0.3 * ((np.arange(8) % 2) == y[:, None])[:, None]).astype(np.float32)
    torch.manual_seed(0)
    net = hypr.Network([Leaky(8, 24), hypr.LI(24, 2)], decision={"rule": "sum"})
    inputs, labels = torch.from_numpy(x[:192]), torch.from_numpy(y[:192])
    hypr.fit_activity_(net, inputs[:64])
    rule, optimiser = hypr.HYPR(net), torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(20):
        optimiser.zero_grad()
        rule.backward(inputs, labels)
        optimiser.step()
        net.constrain_()
    done = hypr.deploy(net, "leaky-bundle", calibration=x[:64], test=(x[192:], y[192:]))
    print(f"float {done.float_accuracy:.3f}, integers {done.accuracy:.3f}, equal: {done.equal}")
    print(*done.warnings, sep="\n")


if __name__ == "__main__":
    main()
