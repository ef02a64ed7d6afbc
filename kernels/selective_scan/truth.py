"""The selective scan and its gradients in float64 NumPy, one step at a time.

The formulas are derived by hand from the recurrence. This file shares no code with the
implementations that are tested against it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np


def _sigmoid(v):
    return 0.5 * (1.0 + np.tanh(0.5 * v))


def _prepare(args, dt_softplus):
    """Returns the float64 arguments, the step size before the softplus, and after it.

    Neutral values stand for missing arguments.
    """
    args = {k: np.asarray(v, np.float64) for k, v in args.items() if v is not None}
    (batch, _, dim), states = args["x"].shape, args["a"].shape[1]
    args.setdefault("d", np.zeros(dim))
    args.setdefault("dt_bias", np.zeros(dim))
    args.setdefault("h0", np.zeros((batch, dim, states)))
    raw = args["dt"] + args["dt_bias"]
    return args, raw, np.logaddexp(raw, 0.0) if dt_softplus else raw


def _times(length, reverse):
    return range(length - 1, -1, -1) if reverse else range(length)


Arrays = Mapping[str, Any]


def scan(
    args: Arrays, *, dt_softplus: bool = False, reverse: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns (y, h_last, states [B, L, D, N], ungated y)."""
    args, _, step = _prepare(args, dt_softplus)
    x, a, b, c = (args[k] for k in "xabc")
    h = args["h0"]
    states = np.zeros((*x.shape, a.shape[1]))
    for t in _times(x.shape[1], reverse):
        decay = np.exp(step[:, t, :, None] * a)
        h = decay * h + (step[:, t] * x[:, t])[..., None] * b[:, t, None, :]
        states[:, t] = h
    ungated = np.einsum("bldn,bln->bld", states, c) + args["d"] * x
    y = ungated
    if "z" in args:
        y = ungated * args["z"] * _sigmoid(args["z"])
    return y, h, states, ungated


def gradients(
    args: Arrays,
    y_bar: Any,
    h_bar: Any,
    *,
    dt_softplus: bool = False,
    reverse: bool = False,
) -> dict[str, np.ndarray]:
    """Returns the gradient of sum(y y_bar) + sum(h_last h_bar) for every argument."""
    given = [k for k, v in args.items() if v is not None]
    _, _, states, ungated = scan(args, dt_softplus=dt_softplus, reverse=reverse)
    args, raw, step = _prepare(args, dt_softplus)
    x, a, b, c, d = (args[k] for k in "xabcd")
    grads = {k: np.zeros_like(v) for k, v in args.items()}

    g = np.asarray(y_bar, np.float64)
    if "z" in args:
        z, s = args["z"], _sigmoid(args["z"])
        grads["z"] = g * ungated * s * (1.0 + z * (1.0 - s))
        g = g * z * s
    grads["d"] = np.sum(g * x, axis=(0, 1))
    grads["x"] = g * d

    times = list(_times(x.shape[1], reverse))
    adjoint = np.asarray(h_bar, np.float64)
    d_step = np.zeros_like(step)
    for i in reversed(range(len(times))):
        t = times[i]
        before = states[:, times[i - 1]] if i else args["h0"]
        decay = np.exp(step[:, t, :, None] * a)
        adjoint = adjoint + g[:, t, :, None] * c[:, t, None, :]
        grads["c"][:, t] = np.einsum("bd,bdn->bn", g[:, t], states[:, t])
        drive = step[:, t] * x[:, t]
        grads["b"][:, t] = np.einsum("bdn,bd->bn", adjoint, drive)
        d_drive = np.einsum("bdn,bn->bd", adjoint, b[:, t])
        d_exponent = adjoint * decay * before
        grads["x"][:, t] += step[:, t] * d_drive
        d_step[:, t] = x[:, t] * d_drive + np.sum(d_exponent * a, axis=-1)
        grads["a"] += np.sum(d_exponent * step[:, t, :, None], axis=0)
        adjoint = decay * adjoint
    grads["h0"] = adjoint
    grads["dt"] = d_step * _sigmoid(raw) if dt_softplus else d_step
    grads["dt_bias"] = np.sum(grads["dt"], axis=(0, 1))
    return {k: grads[k] for k in given}
