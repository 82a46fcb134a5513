"""A network inside PyTorch Lightning (``pip install lightning``, or the extra ``lightning``): the rule fills ``.grad``,
so optimisation is manual; everything else is Lightning's."""

import numpy as np
import pytorch_lightning as lightning
import torch
from torch.utils.data import DataLoader, TensorDataset

import hypr


class Classifier(lightning.LightningModule):
    """Any hypr.Network with any rule."""

    def __init__(self, net: hypr.Network, lr: float = 0.01) -> None:
        super().__init__()
        self.net, self.lr = net, lr
        self.rule = hypr.HYPR(net, loss="cross_entropy")
        self.automatic_optimization = False

    def training_step(self, batch, index):
        optimiser = self.optimizers()
        optimiser.zero_grad()
        loss = self.rule.backward(*batch)
        optimiser.step()
        self.net.constrain_()
        self.log("loss", loss)

    def configure_optimizers(self):
        return torch.optim.Adam(self.net.parameters(), lr=self.lr)


def main() -> None:
    """Train, then deploy with accuracy and report."""
    draw = np.random.default_rng(0)
    y = draw.integers(4, size=400)
    rates = 0.05 + 0.35 * ((np.arange(8) // 2) == y[:, None])
    x = (draw.random((400, 60, 8)) < rates[:, None]).astype(np.float32)
    torch.manual_seed(0)
    net = hypr.Network([hypr.SEAdLIF(8, 32), hypr.LI(32, 4)], decision={"rule": "sum"})
    inputs, labels = torch.from_numpy(x[:300]), torch.from_numpy(y[:300])
    hypr.fit_activity_(net, inputs[:64])
    trainer = lightning.Trainer(
        max_epochs=8, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(Classifier(net), DataLoader(TensorDataset(inputs, labels), batch_size=32, shuffle=True))
    done = hypr.deploy(net, "lightning-bundle", calibration=x[:64], test=(x[300:], y[300:]))
    print(f"float {done.float_accuracy:.3f}, integers {done.accuracy:.3f}, equal: {done.equal}")


if __name__ == "__main__":
    main()
