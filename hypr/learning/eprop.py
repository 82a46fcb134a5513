"""Rule ``eprop``: step by step with full eligibilities, the slow equivalent of ``hypr`` and the plainest reading of its
equations.

``e^t = A^t e^{t-1} + B^t pre^t`` and ``sum_t g^t (C^t . e^{t-1} + D^t pre^t)`` for each synapse at each step (HYPR,
section 3; Bellec et al. 2020).
"""

from __future__ import annotations

from torch import Tensor

from hypr.kernels.reference import boundary_gradient, carry_eligibility, start_eligibility
from hypr.kernels.types import Eligibility, LayerTrajectory
from hypr.learning.carry import Carry
from hypr.learning.losses import Loss
from hypr.learning.rule import Gradients
from hypr.learning.windows import WindowedRule
from hypr.network import Network, end_state
from hypr.neurons import Neuron


class EProp(WindowedRule):
    """Eligibility propagation with exact eligibilities, one step at a time; same gradient as :class:`HYPR`, constant
    memory, slow.

    Args:
        net, loss: see :class:`hypr.learning.rule.Rule`.
    """

    def __init__(self, net: Network, loss: str | Loss = "cross_entropy") -> None:
        super().__init__(net, loss, window=1)

    def _credit(
        self,
        trajectories: list[LayerTrajectory],
        error: Tensor,
        priced: list[Tensor | None],
        carry: Carry,
        gradients: Gradients,
        onward: bool,
    ) -> None:
        g = error[0]
        for index in reversed(range(len(trajectories))):
            price = priced[index]
            g = g if price is None else g + price[0]
            layer, trajectory = self.net.layers[index], trajectories[index]
            eligibility = carry.eligibilities[index] or start_eligibility(layer, g.shape[0], extra=1)
            eligibility = carry_eligibility(layer, trajectory, eligibility, spike_filters=(0.0,))
            carry.eligibilities[index] = eligibility
            for name, value in boundary_gradient(g[:, None], _spike_component(layer, eligibility)).items():
                gradients.layers[index].add(name, value)
            direct = layer.jacobians(
                trajectory.states[:-1], trajectory.spikes[:-1], trajectory.current, layer.effective()
            ).D[0]
            g = (direct * g) @ layer.weight
        carry.states = end_state(trajectories)


def _spike_component(layer: Neuron, eligibility: Eligibility) -> Eligibility:
    """dz^t/dtheta alone, with one component (B, 1, ...)."""
    d = len(layer.state_names)

    def last(value: Tensor | None) -> Tensor | None:
        return None if value is None else value[:, d:]

    return Eligibility(
        eligibility.weight[:, d:],
        last(eligibility.recurrent),
        last(eligibility.bias),
        {name: value[:, d:] for name, value in eligibility.parameters.items()},
    )
