"""One step of every neuron model and its adjoint, for one neuron; the CPU scans (:mod:`hypr.kernels.cpu.scan`) apply
them to whole rows. Equations: :mod:`hypr.neurons`.

A model is a named tuple of the step's constants; its class chooses the functions when a scan is compiled. They take

* ``s``: states of step t - 1, a tuple; ``z``: spike of step t - 1; ``i``: current of step t; ``k``: the neuron's own
  coefficients, a tuple (what :mod:`hypr.kernels.cpu.models` derives from its parameters);
* ``m``: adjoints of the states of step t; ``error``: dL/dz^t.

``step`` gives the states and the spike of step t. ``distance`` gives x, where z = H(x), and one number that the adjoint
would otherwise compute again, ``known``. ``adjoint`` gives the adjoints of step t - 1, dL/dI, the part of dL/dz^{t-1}
that does not pass through recurrent weights, and the terms of the sums from which gradients by the parameters are made.
``slope`` is dx/dI. A readout has the output in the place of the spike and psi = 1.
"""

from __future__ import annotations

from typing import NamedTuple

from hypr.kernels.cpu.math import complement, exponential, heaviside, nought


class BRFEuler(NamedTuple):
    """u, v, q; coefficients p - b_offset and omega; sums by c and along the rotation."""

    dt: float
    theta: float
    gamma: float

    @staticmethod
    def step(model, s, z, i, k):  # type: ignore[no-untyped-def]
        (u, v, q), (damping, omega), dt = s, k, model.dt
        c = damping - q
        new = u + dt * (c * u - omega * v + i)
        fired = heaviside(new - model.theta - q)
        return (new, v + dt * (omega * u + c * v), model.gamma * q + fired), fired

    @staticmethod
    def distance(model, s, z, i, k):  # type: ignore[no-untyped-def]
        (u, v, q), (damping, omega) = s, k
        c = damping - q
        return u + model.dt * (c * u - omega * v + i) - model.theta - q, c

    @staticmethod
    def adjoint(model, s, z, i, k, known, psi, m, error):  # type: ignore[no-untyped-def]
        (u, v, _), (_, omega), (m_u, m_v, m_q), c = s, k, m, known
        d_x = psi * (error + m_q)  # q^t = gamma q' + z^t
        d_u, d_v = model.dt * (m_u + d_x), model.dt * m_v
        d_c = d_u * u + d_v * v
        m = (m_u + d_x + c * d_u + omega * d_v, m_v + c * d_v - omega * d_u, model.gamma * m_q - d_x - d_c)
        return m, d_u, nought(error), (d_c, d_v * u - d_u * v)

    @staticmethod
    def slope(model, k):  # type: ignore[no-untyped-def]
        return model.dt


class BRFExponential(NamedTuple):
    """u, v, q; coefficients b_offset, cos and sin of dt omega; sums by c and along the rotation."""

    dt: float
    theta: float
    gamma: float

    @staticmethod
    def step(model, s, z, i, k):  # type: ignore[no-untyped-def]
        (u, v, q), (offset, cos, sin) = s, k
        decay = exponential(-model.dt * (offset + q))
        new = decay * (cos * u - sin * v) + model.dt * i
        fired = heaviside(new - model.theta - q)
        return (new, decay * (sin * u + cos * v), model.gamma * q + fired), fired

    @staticmethod
    def distance(model, s, z, i, k):  # type: ignore[no-untyped-def]
        (u, v, q), (offset, cos, sin) = s, k
        decay = exponential(-model.dt * (offset + q))
        return decay * (cos * u - sin * v) + model.dt * i - model.theta - q, decay

    @staticmethod
    def adjoint(model, s, z, i, k, known, psi, m, error):  # type: ignore[no-untyped-def]
        (u, v, _), (_, cos, sin), (m_u, m_v, m_q), decay = s, k, m, known
        turned_u, turned_v = decay * (cos * u - sin * v), decay * (sin * u + cos * v)
        d_x = psi * (error + m_q)  # q^t = gamma q' + z^t
        d_u = m_u + d_x
        d_c = model.dt * (d_u * turned_u + m_v * turned_v)
        m = (decay * (cos * d_u + sin * m_v), decay * (cos * m_v - sin * d_u), model.gamma * m_q - d_x - d_c)
        return m, model.dt * d_u, nought(error), (d_c, model.dt * (m_v * turned_u - d_u * turned_v))

    @staticmethod
    def slope(model, k):  # type: ignore[no-untyped-def]
        return model.dt


class SEAdLIF(NamedTuple):
    """u, w; coefficients alpha, beta, (1 - beta) rho a, (1 - beta) rho b; sums by alpha, and of dL/dw times w', times
    u (1 - z), times z*. ``current`` is 1. where the adaptation takes the current spike, else 0.
    """

    theta: float
    current: float

    @staticmethod
    def step(model, s, z, i, k):  # type: ignore[no-untyped-def]
        (u, w), (alpha, beta, ga, gb) = s, k
        new = alpha * u * complement(z) + complement(alpha) * (i - w)
        fired = heaviside(new - model.theta)
        adapting = fired if model.current > 0 else z
        return (new, beta * w + (ga * new * complement(fired) + gb * adapting)), fired

    @staticmethod
    def distance(model, s, z, i, k):  # type: ignore[no-untyped-def]
        (u, w), alpha = s, k[0]
        new = alpha * u * complement(z) + complement(alpha) * (i - w)
        return new - model.theta, new

    @staticmethod
    def adjoint(model, s, z, i, k, known, psi, m, error):  # type: ignore[no-untyped-def]
        (u, w), (alpha, beta, ga, gb), (m_u, m_w), new = s, k, m, known
        fired = heaviside(new - model.theta)
        own = gb if model.current > 0 else nought(gb)  # of the spike of this step
        adapting = fired if model.current > 0 else z
        d_z = error + m_w * (own - ga * new)
        d_u = m_u + psi * d_z + m_w * ga * complement(fired)
        gain = complement(alpha) * d_u
        sums = (d_u * (u * complement(z) - i + w), m_w * w, m_w * new * complement(fired), m_w * adapting)
        return (alpha * complement(z) * d_u, beta * m_w - gain), gain, m_w * (gb - own) - alpha * u * d_u, sums

    @staticmethod
    def slope(model, k):  # type: ignore[no-untyped-def]
        return complement(k[0])


class ALIF(NamedTuple):
    """u, a; coefficients and sums alpha, r."""

    beta: float
    b0: float

    @staticmethod
    def step(model, s, z, i, k):  # type: ignore[no-untyped-def]
        (u, a), (alpha, rho) = s, k
        adaptation = rho * a + complement(rho) * z
        threshold = model.b0 + model.beta * adaptation
        new = alpha * u + complement(alpha) * i - threshold * z
        return (new, adaptation), heaviside(new - threshold)

    @staticmethod
    def distance(model, s, z, i, k):  # type: ignore[no-untyped-def]
        (u, a), (alpha, rho) = s, k
        threshold = model.b0 + model.beta * (rho * a + complement(rho) * z)
        return alpha * u + complement(alpha) * i - threshold * z - threshold, threshold

    @staticmethod
    def adjoint(model, s, z, i, k, known, psi, m, error):  # type: ignore[no-untyped-def]
        (u, a), (alpha, rho), (m_u, m_a), threshold = s, k, m, known
        d_x = psi * error
        d_u = m_u + d_x
        d_a = m_a - model.beta * (d_x + d_u * z)
        back = complement(rho) * d_a - threshold * d_u
        return (alpha * d_u, rho * d_a), complement(alpha) * d_u, back, (d_u * (u - i), d_a * (a - z))

    @staticmethod
    def slope(model, k):  # type: ignore[no-untyped-def]
        return complement(k[0])


class LIF(NamedTuple):
    """u; coefficient and sum alpha. ``subtract`` is 1. for a reset by subtraction, 0. for a reset to zero."""

    theta: float
    subtract: float

    @staticmethod
    def step(model, s, z, i, k):  # type: ignore[no-untyped-def]
        (u,), (alpha,) = s, k
        lost = model.theta if model.subtract > 0 else u  # the reset takes away z' times this
        new = alpha * (u - z * lost) + complement(alpha) * i
        return (new,), heaviside(new - model.theta)

    @staticmethod
    def distance(model, s, z, i, k):  # type: ignore[no-untyped-def]
        (u,), (alpha,) = s, k
        lost = model.theta if model.subtract > 0 else u
        return alpha * (u - z * lost) + complement(alpha) * i - model.theta, lost

    @staticmethod
    def adjoint(model, s, z, i, k, known, psi, m, error):  # type: ignore[no-untyped-def]
        (u,), (alpha,), (m_u,), lost = s, k, m, known
        d_u = m_u + psi * error
        kept = complement(nought(z)) if model.subtract > 0 else complement(z)
        by_alpha = d_u * (u - z * lost - i)
        return (alpha * d_u * kept,), complement(alpha) * d_u, -alpha * d_u * lost, (by_alpha,)

    @staticmethod
    def slope(model, k):  # type: ignore[no-untyped-def]
        return complement(k[0])


class CubaLIF(NamedTuple):
    """u, v; coefficients and sums alpha_syn, alpha_mem, bias. ``subtract`` as for :class:`LIF`."""

    theta: float
    subtract: float
    syn_gain: float
    mem_gain: float

    @staticmethod
    def step(model, s, z, i, k):  # type: ignore[no-untyped-def]
        (u, v), (syn, mem, bias) = s, k
        lost = model.theta if model.subtract > 0 else v
        new = syn * u + model.syn_gain * i
        membrane = mem * (v - z * lost) + model.mem_gain * new + bias
        return (new, membrane), heaviside(membrane - model.theta)

    @staticmethod
    def distance(model, s, z, i, k):  # type: ignore[no-untyped-def]
        (u, v), (syn, mem, bias) = s, k
        lost = model.theta if model.subtract > 0 else v
        new = syn * u + model.syn_gain * i
        return mem * (v - z * lost) + model.mem_gain * new + bias - model.theta, lost

    @staticmethod
    def adjoint(model, s, z, i, k, known, psi, m, error):  # type: ignore[no-untyped-def]
        (u, v), (syn, mem, _), (m_u, m_v), lost = s, k, m, known
        d_v = m_v + psi * error
        d_u = m_u + model.mem_gain * d_v
        kept = complement(nought(z)) if model.subtract > 0 else complement(z)
        m = (syn * d_u, mem * d_v * kept)
        return m, model.syn_gain * d_u, -mem * d_v * lost, (d_u * u, d_v * (v - z * lost), d_v)

    @staticmethod
    def slope(model, k):  # type: ignore[no-untyped-def]
        return model.syn_gain * model.mem_gain


class LI(NamedTuple):
    """u; coefficient and sum kappa. ``unused``: a tuple of constants cannot be empty and still say its type."""

    unused: float

    @staticmethod
    def step(model, s, z, i, k):  # type: ignore[no-untyped-def]
        (u,), (kappa,) = s, k
        new = kappa * u + complement(kappa) * i
        return (new,), new

    @staticmethod
    def distance(model, s, z, i, k):  # type: ignore[no-untyped-def]
        return nought(i), nought(i)

    @staticmethod
    def adjoint(model, s, z, i, k, known, psi, m, error):  # type: ignore[no-untyped-def]
        (u,), (kappa,), (m_u,) = s, k, m
        d_u = m_u + error
        return (kappa * d_u,), complement(kappa) * d_u, nought(error), (d_u * (u - i),)

    @staticmethod
    def slope(model, k):  # type: ignore[no-untyped-def]
        return complement(k[0])
