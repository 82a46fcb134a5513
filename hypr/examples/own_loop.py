"""Own data, own network, own loop, to a verified bundle with accuracy and report."""

import numpy as np
import torch

import hypr

# Own data: 4 classes of 12 spike trains, 100 steps; a class is a rhythm of rates over the channels.
draw = np.random.default_rng(0)
y = draw.integers(4, size=800)
steps, channels = np.arange(100)[:, None], np.arange(12)
rates = 0.15 + 0.15 * np.sin(2 * np.pi * (steps / 50 + channels * (y[:, None, None] - 1.5) / 12))
x = (draw.random(rates.shape) < rates).astype(np.float32)  # (samples, steps, channels)
train, test = slice(0, 600), slice(600, 800)

torch.manual_seed(0)
net = hypr.Network(
    [hypr.SEAdLIF(12, 48), hypr.SEAdLIF(48, 48), hypr.LI(48, 4)], decision={"rule": "sum", "ignore_first": 10}
)
x_train, y_train = torch.from_numpy(x[train]), torch.from_numpy(y[train])
for layer in hypr.fit_activity_(net, x_train[:64]):
    print(layer)

rule = hypr.HYPR(net, loss="cross_entropy")
optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
for epoch in range(8):
    for index in torch.randperm(len(x_train)).split(32):
        optimiser.zero_grad()
        loss = rule.backward(x_train[index], y_train[index])
        optimiser.step()
        net.constrain_()
    print(f"epoch {epoch + 1}: loss {float(loss):.3f}")

hypr.save(net, "own.safetensors")
done = hypr.deploy(hypr.load("own.safetensors"), "own-bundle", calibration=x[train], test=(x[test], y[test]))
print(f"float {done.float_accuracy:.3f}, integers {done.accuracy:.3f}, equal on every engine: {done.equal}")
print(f"certificate {done.certificate}, report {done.report}", *done.warnings, sep="\n")
