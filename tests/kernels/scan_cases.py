"""Arguments of the scan for tests, and comparison with the float64 NumPy loop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from damamba_jax.kernels import ScanOutput, selective_scan
from damamba_jax.kernels.selective_scan import truth

SEQUENCES = ("x", "dt", "b", "c", "z")
# (L, D, N) where the claim is not about numbers; more than one chunk.
SMALL = (19, 3, 8)


def draw(length, dim, states, *, batch=2, without=(), seed=0):
    rng = np.random.default_rng(seed)
    args = {
        "x": rng.normal(size=(batch, length, dim)),
        "dt": 0.5 * rng.normal(size=(batch, length, dim)),
        "a": -np.exp(rng.normal(size=(dim, states))),
        "b": rng.normal(size=(batch, length, states)),
        "c": rng.normal(size=(batch, length, states)),
        "d": rng.normal(size=dim),
        "z": rng.normal(size=(batch, length, dim)),
        "dt_bias": rng.uniform(-4.0, -1.0, size=dim),
        "h0": rng.normal(size=(batch, dim, states)),
    }
    if "dt_bias" in without:
        args["dt"] = rng.uniform(0.01, 0.3, size=args["dt"].shape)
    return {k: jnp.float32(v) for k, v in args.items() if k not in without}


def cotangents(args, seed=1):
    rng = np.random.default_rng(seed)
    h_shape = (args["x"].shape[0], *args["a"].shape)
    return jnp.float32(rng.normal(size=args["x"].shape)), jnp.float32(
        rng.normal(size=h_shape)
    )


@functools.cache
def value_and_gradients(implementation, dt_softplus=False, reverse=False):
    """Compiled (args, y_bar, h_bar) -> (output, gradients); shared between tests.

    `value_and_gradients.__wrapped__` compiles anew.
    """

    def run(args, y_bar, h_bar):
        scan = functools.partial(
            call,
            implementation=implementation,
            dt_softplus=dt_softplus,
            reverse=reverse,
        )
        output, pullback = jax.vjp(scan, args)
        (grads,) = pullback(ScanOutput(y_bar.astype(output.y.dtype), h_bar))
        return output, grads

    return jax.jit(run)


def call(args, **options):
    args = dict(args)
    arrays = [args.pop(k) for k in ("x", "dt", "a", "b", "c")]
    return selective_scan(*arrays, **args, **options)


def trace(args, **options):
    """Runs `call` without compiling anything."""
    return jax.eval_shape(functools.partial(call, **options), args)


def error(got, want):
    """max |got - want| / max |want|; plain difference where all of `want` is 0."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape
    assert np.all(np.isfinite(got))
    return np.abs(got - want).max() / (np.abs(want).max() or 1.0)


def check(run, args, *, forward=1e-5, backward=1e-4, **options):
    y_bar, h_bar = cotangents(args)
    if isinstance(run, str):
        run = value_and_gradients(run, **options)
    output, grads = run(args, y_bar, h_bar)
    if args["x"].dtype == jnp.bfloat16:
        y_bar = y_bar.astype(jnp.bfloat16)
    y, h_last, *_ = truth.scan(args, **options)
    want = truth.gradients(args, y_bar, h_bar, **options)
    errors = {"y": error(output.y, y), "h_last": error(output.h_last, h_last)}
    assert max(errors.values()) <= forward, errors
    errors = {name: error(grads[name], want[name]) for name in want}
    assert max(errors.values()) <= backward, errors
    return output, grads


def check_sharded(run, args):
    """Compares a batch of 8 rows over 2 or 4 devices with the same batch on one."""
    if jax.device_count() < 2:
        pytest.skip("needs 2 devices; tests/conftest.py asks for 4 virtual ones")
    bars = cotangents(args)
    want = run(args, *bars)
    devices = jax.devices()
    mesh = Mesh(np.array(devices[: 4 if len(devices) >= 4 else 2]), ("batch",))
    rows = NamedSharding(mesh, PartitionSpec("batch"))
    everywhere = NamedSharding(mesh, PartitionSpec())
    args = {
        k: jax.device_put(v, rows if v.shape[0] == 8 else everywhere)
        for k, v in args.items()
    }
    bars = [jax.device_put(v, rows) for v in bars]
    compiled = run.lower(args, *bars).compile()
    got = compiled(args, *bars)
    assert max(jax.tree.leaves(jax.tree.map(error, got, want))) < 1e-5
    assert got[0].y.sharding.is_equivalent_to(rows, 3)
    # Rows never leave their device: only the sums over the batch are exchanged.
    assert "all-gather" not in compiled.as_text()
