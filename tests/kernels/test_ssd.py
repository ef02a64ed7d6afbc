"""Mamba-2's scan against the float64 NumPy loop of Mamba-1, of which it is a case."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from damamba_jax.kernels import SSDOutput, ssd
from damamba_jax.kernels.selective_scan import truth
from damamba_jax.kernels.ssd import IMPLEMENTATIONS

every_implementation = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)

# (L, H, E, N, chunk, left out, dt_softplus, reverse): lengths below, at, above and off
# the chunk's; one head, one channel, one state; every option.
CASES = {
    "one-step": (1, 2, 3, 4, 32, (), True, False),
    "shorter-than-a-chunk": (5, 1, 4, 1, 8, ("dt_bias",), True, True),
    "odd": (33, 2, 3, 8, 16, (), True, False),
    "odd-reverse": (33, 2, 3, 8, 16, (), True, True),
    "whole-chunks": (32, 3, 1, 5, 8, ("d", "h0"), True, True),
    "bare": (97, 2, 2, 4, 32, ("d", "dt_bias", "h0"), False, False),
    "chunks-of-one": (7, 2, 3, 4, 1, (), True, False),
}


def draw(length=13, heads=2, width=3, states=4, *, without=(), seed=0, batch=2):
    rng = np.random.default_rng(seed)
    args = {
        "x": rng.normal(size=(batch, length, heads, width)),
        "dt": 0.5 * rng.normal(size=(batch, length, heads)),
        "a": -np.exp(rng.uniform(0.0, 2.8, size=heads)),
        "b": rng.normal(size=(batch, length, states)),
        "c": rng.normal(size=(batch, length, states)),
        "d": rng.normal(size=heads),
        "dt_bias": rng.uniform(-4.0, -1.0, size=heads),
        "h0": rng.normal(size=(batch, heads, width, states)),
    }
    if "dt_bias" in without:
        args["dt"] = rng.uniform(0.01, 0.3, size=args["dt"].shape)
    return {k: jnp.float32(v) for k, v in args.items() if k not in without}


def call(args, **options):
    args = dict(args)
    arrays = [args.pop(k) for k in ("x", "dt", "a", "b", "c")]
    return ssd(*arrays, **args, **options)


def cotangents(args, seed=1):
    rng = np.random.default_rng(seed)
    h_shape = (*args["x"].shape[:1], *args["x"].shape[2:], args["b"].shape[2])
    return jnp.float32(rng.normal(size=args["x"].shape)), jnp.float32(
        rng.normal(size=h_shape)
    )


def run(args, y_bar, h_bar, **options):
    """Output and gradients, compiled."""

    @jax.jit
    def both(args):
        output, pullback = jax.vjp(functools.partial(call, **options), args)
        bars = SSDOutput(y_bar.astype(output.y.dtype), h_bar)
        return output, pullback(bars)[0]

    return both(args)


def as_scan(args):
    """The same in the arguments of Mamba-1: every channel has its head's dt, a, d."""
    (batch, length, heads, width), states = args["x"].shape, args["b"].shape[2]
    wide = {k: np.asarray(v, np.float64) for k, v in args.items()}
    wide["x"] = wide["x"].reshape(batch, length, -1)
    for name in ("dt", "d", "dt_bias"):
        if name in wide:
            wide[name] = np.repeat(wide[name], width, axis=-1)
    wide["a"] = np.tile(np.repeat(wide["a"], width)[:, None], (1, states))
    if "h0" in wide:
        wide["h0"] = wide["h0"].reshape(batch, heads * width, states)
    return wide


def expected(args, y_bar, h_bar, **options):
    """(y, h_last, gradients) from the float64 loop, in the shapes of `ssd`."""
    heads, width = args["x"].shape[2:]
    wide = as_scan(args)
    y, h_last, *_ = truth.scan(wide, **options)
    bars = [np.asarray(v, np.float64) for v in (y_bar, h_bar)]
    bars = bars[0].reshape(y.shape), bars[1].reshape(h_last.shape)
    grads = truth.gradients(wide, *bars, **options)
    grads["a"] = grads["a"].sum(axis=1)
    for name in ("dt", "a", "d", "dt_bias"):
        if name in grads:
            shape = (*grads[name].shape[:-1], heads, width)
            grads[name] = grads[name].reshape(shape).sum(axis=-1)
    grads = {k: g.reshape(args[k].shape) for k, g in grads.items()}
    return y.reshape(args["x"].shape), h_last.reshape(h_bar.shape), grads


def error(got, want):
    """max |got - want| / max |want|; plain difference where all of `want` is 0."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape
    assert np.all(np.isfinite(got))
    return np.abs(got - want).max() / (np.abs(want).max() or 1.0)


def check(args, *, forward=1e-5, backward=1e-4, chunk=32, implementation, **options):
    y_bar, h_bar = cotangents(args)
    y_bar = y_bar.astype(args["x"].dtype)
    output, grads = run(
        args, y_bar, h_bar, chunk=chunk, implementation=implementation, **options
    )
    y, h_last, want = expected(args, y_bar, h_bar, **options)
    errors = {"y": error(output.y, y), "h_last": error(output.h_last, h_last)}
    assert max(errors.values()) <= forward, errors
    errors = {name: error(grads[name], want[name]) for name in args}
    assert max(errors.values()) <= backward, errors
    return output


@every_implementation
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_those_of_the_loop(case, implementation):
    *shape, chunk, without, dt_softplus, reverse = CASES[case]
    check(
        draw(*shape, without=without), chunk=chunk, implementation=implementation,
        dt_softplus=dt_softplus, reverse=reverse,
    )  # fmt: skip


@every_implementation
def test_bfloat16_inputs_cost_what_rounding_the_output_costs(implementation):
    args = draw(45, 2, 4, 8)
    args |= {k: args[k].astype(jnp.bfloat16) for k in ("x", "dt", "b", "c")}
    output = check(
        args, forward=1e-2, backward=1e-2, chunk=16, implementation=implementation,
        dt_softplus=True,
    )  # fmt: skip
    assert output.y.dtype == jnp.bfloat16 and output.h_last.dtype == jnp.float32


@pytest.mark.parametrize("reverse", [False, True])
def test_a_sequence_in_two_parts_is_the_whole_one(reverse):
    args = draw(20)
    run = jax.jit(
        functools.partial(call, dt_softplus=True, reverse=reverse, chunk=8)
    )  # fmt: skip
    whole = run(args)
    parts = [slice(0, 10), slice(10, None)]
    state, found = args["h0"], {}
    for index in (1, 0) if reverse else (0, 1):
        cut = {k: args[k][:, parts[index]] for k in ("x", "dt", "b", "c")}
        found[index], state = run({**args, **cut, "h0": state})
    y = jnp.concatenate([found[0], found[1]], axis=1)
    np.testing.assert_allclose(y, whole.y, atol=1e-5)
    np.testing.assert_allclose(state, whole.h_last, atol=1e-5)


def test_strong_decay_neither_overflows_nor_loses_the_present():
    """Within one chunk the decays reach exp(-3000) and their inverses infinity."""
    args = draw(40, without=("dt_bias", "h0"))
    args["dt"] = jnp.full_like(args["dt"], 9.0)
    args["a"] = jnp.float32([-9.0, -1e-3])
    check(args, chunk=40, implementation="chunked", forward=1e-5, backward=1e-4)


def test_vmap_and_remat_change_no_number():
    args = draw(21)
    other = draw(21, seed=5)
    stacked = jax.tree.map(lambda *v: jnp.stack(v), args, other)

    def layer(args):
        return call(args, dt_softplus=True, chunk=8).y

    mapped = jax.jit(jax.vmap(jax.checkpoint(layer)))(stacked)
    layer = jax.jit(layer)
    for got, one in zip(mapped, (args, other), strict=True):
        np.testing.assert_allclose(got, layer(one), atol=1e-5)


def test_arguments_that_do_not_fit_are_named():
    args = draw()
    for name, value, message in (
        ("x", args["x"][:, :, 0], r"`x`: expected \[B, L, H, E\]"),
        ("dt", args["dt"][:, :4], r"`dt`: expected shape \[B, L, H\] = \(2, 13, 2\)"),
        ("a", args["a"][:1], r"`a`: expected shape \[H\]"),
        ("c", args["c"][..., :2], r"`c`: expected shape \[B, L, N\]"),
        ("b", args["b"][..., :0], "no empty axis"),
        ("h0", args["h0"][:, :1], r"`h0`: expected shape \[B, H, E, N\]"),
        ("x", args["x"].astype(jnp.float16), "`x`: expected one of the dtypes"),
    ):
        wrong = dict(args, **{name: value})
        arrays = [wrong.pop(k) for k in ("x", "dt", "a", "b", "c")]
        with pytest.raises(ValueError, match=message):
            # Under pytest jaxtyping would refuse them first; users do not run it.
            inspect.unwrap(ssd)(*arrays, **wrong)
    with pytest.raises(ValueError, match="`chunk`: expected at least 1, got 0"):
        call(args, chunk=0)
    with pytest.raises(ValueError, match="`implementation`: expected one of"):
        call(args, implementation="triton")
