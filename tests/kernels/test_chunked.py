"""Peculiarities of `"chunked"`: its blocks of rows and its memory."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scan_cases import (
    SMALL,
    call,
    check,
    check_sharded,
    cotangents,
    draw,
    value_and_gradients,
)

from damamba_jax.kernels.selective_scan import chunked, elementary, loops

compile_anew = value_and_gradients.__wrapped__


@pytest.mark.parametrize("reverse", [False, True])
def test_blocks_of_rows(reverse, monkeypatch):
    length, dim, states = SMALL
    monkeypatch.setattr(loops, "CPU_BLOCK_ELEMENTS", 2 * dim * states)
    args = draw(*SMALL, batch=6)
    walked = loops.plan(6, *SMALL, reverse=reverse, platform="cpu")
    assert (walked.rows, walked.blocks, walked.num_chunks) == (2, 3, 2)
    run = compile_anew("chunked", dt_softplus=True, reverse=reverse)
    check(run, args, dt_softplus=True, reverse=reverse)


def test_blocks_of_a_sharded_batch(monkeypatch):
    length, dim, states = SMALL
    monkeypatch.setattr(loops, "CPU_BLOCK_ELEMENTS", 4 * dim * states)
    assert loops.plan(8, *SMALL, reverse=False, platform="cpu").blocks == 2
    check_sharded(compile_anew("chunked", dt_softplus=True), draw(*SMALL, batch=8))


def test_loops_of_an_accelerator(monkeypatch):
    def plan(*sizes, reverse, platform):
        return loops.plan(*sizes, reverse=reverse, platform="gpu")

    monkeypatch.setattr(chunked, "plan", plan)
    check(compile_anew("chunked", dt_softplus=True), draw(*SMALL), dt_softplus=True)


@pytest.mark.parametrize(
    ("sizes", "platform", "rows"),
    [
        ((64, 96, 64, 16), "cpu", 64),
        ((128, 96, 192, 16), "cpu", 32),
        ((256, 96, 1536, 16), "cpu", 4),
        ((7, 96, 1024, 16), "cpu", 1),
        ((1, 96, 8192, 16), "cpu", 1),
        ((256, 96, 1536, 16), "gpu", 256),
    ],
)
def test_rows_of_a_block_divide_the_batch_and_fit_the_cache(sizes, platform, rows):
    walked = loops.plan(*sizes, reverse=False, platform=platform)
    assert walked.rows == rows
    assert walked.rows * walked.blocks == sizes[0]


def test_only_boundary_states_are_kept():
    args = draw(512, 16, 16, batch=4)
    states = 4 * 512 * 16 * 16
    scan = functools.partial(call, dt_softplus=True)

    def residual(implementation):
        def pull(args):
            return jax.vjp(functools.partial(scan, implementation=implementation), args)

        _, pullback = jax.eval_shape(pull, args)
        return max(leaf.size for leaf in jax.tree.leaves(pullback))

    assert residual("chunked") == states // loops.CHUNK_STEPS
    assert residual("reference") == residual("associative") == states

    bars = cotangents(args)
    bytes_needed = {
        name: value_and_gradients(name, dt_softplus=True)
        .lower(args, *bars)
        .compile()
        .memory_analysis()
        .temp_size_in_bytes
        for name in ("reference", "chunked")
    }
    assert bytes_needed["chunked"] < 0.7 * 4 * states
    assert bytes_needed["reference"] > 2 * 4 * states


def test_exp2():
    t = np.linspace(-125.9, 126.9, 100_001, dtype=np.float32)
    want = np.exp2(t.astype(np.float64))
    got = np.asarray(jax.jit(elementary.exp2)(t))
    assert np.abs(got / want - 1.0).max() < 1.5e-7
    ends = elementary.exp2(jnp.array([0.0, -np.inf, np.inf, np.nan], jnp.float32))
    np.testing.assert_array_equal(ends, [1.0, 2.0**-126, 2.0**127, np.nan])


def test_softplus():
    v = np.linspace(-80.0, 80.0, 100_001, dtype=np.float32)
    exact = v.astype(np.float64)
    got = np.asarray(jax.jit(elementary.softplus)(v))
    assert np.abs(got / np.logaddexp(exact, 0.0) - 1.0).max() < 4e-7
    slope = np.asarray(jax.jit(jax.vmap(jax.grad(elementary.softplus)))(v))
    assert np.abs(slope * (1.0 + np.exp(-exact)) - 1.0).max() < 4e-7
    ends = elementary.softplus(jnp.array([-np.inf, np.inf, np.nan], jnp.float32))
    np.testing.assert_array_equal(ends, [0.0, np.inf, np.nan])
