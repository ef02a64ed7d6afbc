"""Every implementation against the float64 NumPy loop, and the public function."""

import functools
import inspect
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scan_cases import (
    SEQUENCES,
    SMALL,
    call,
    check,
    check_sharded,
    cotangents,
    draw,
    error,
    trace,
    value_and_gradients,
)

from damamba_jax.kernels import ScanOutput, selective_scan
from damamba_jax.kernels.selective_scan import (
    IMPLEMENTATIONS,
    Case,
    Support,
    api,
    choose,
    describe,
    supports,
    truth,
)
from damamba_jax.kernels.selective_scan.mosaic_gpu import op

# What runs on a GPU only is collected everywhere, and skipped with that reason.
every_implementation = pytest.mark.parametrize(
    "implementation",
    [
        pytest.param(name, marks=pytest.mark.gpu if name == "pallas" else ())
        for name in IMPLEMENTATIONS
    ],
)

# (L, D, N, left out, dt_softplus, reverse): every length, state size and option.
CASES = {
    "one-step": (1, 5, 16, (), True, False),
    "two-steps": (2, 4, 1, ("dt_bias",), True, True),
    "no-gate": (31, 7, 8, ("z", "h0"), True, False),
    "wide-state": (33, 3, 32, (), True, True),
    "window": (96, 5, 16, (), True, False),
    "bare": (97, 6, 8, ("d", "z", "dt_bias", "h0"), False, True),
    "long": (1000, 3, 1, ("d",), True, False),
}


@pytest.mark.parametrize("reverse", [False, True])
def test_numpy_gradients_agree_with_finite_differences(reverse):
    args = {k: np.float64(v) for k, v in draw(4, 2, 3).items()}
    bars = [np.float64(v) for v in cotangents(args)]

    def loss(values):
        y, h, *_ = truth.scan(values, dt_softplus=True, reverse=reverse)
        return np.sum(y * bars[0]) + np.sum(h * bars[1])

    grads = truth.gradients(args, *bars, dt_softplus=True, reverse=reverse)
    assert grads.keys() == args.keys()
    for name, value in args.items():
        numeric = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            sides = []
            for step in (1e-6, -1e-6):
                moved = value.copy()
                moved[index] += step
                sides.append(loss({**args, name: moved}))
            numeric[index] = (sides[0] - sides[1]) / 2e-6
        assert error(grads[name], numeric) < 1e-7, name


@every_implementation
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_numpy(implementation, case):
    length, dim, states, without, dt_softplus, reverse = CASES[case]
    args = draw(length, dim, states, without=without)
    output, grads = check(
        implementation, args, dt_softplus=dt_softplus, reverse=reverse
    )
    assert output.y.dtype == output.h_last.dtype == jnp.float32
    assert all(grads[k].dtype == jnp.float32 for k in grads)


@every_implementation
def test_step_sizes_at_the_extremes(implementation):
    args = draw(96, 5, 16, seed=2)
    shape = args["dt"].shape
    mixed = np.random.default_rng(3).choice([-80.0, -20.0, 0.0, 5.0, 60.0], size=shape)
    for value in (-15.0, -60.0, 0.0, 40.0, mixed):
        check(
            implementation,
            {**args, "dt": jnp.float32(np.broadcast_to(value, shape))},
            dt_softplus=True,
        )


@every_implementation
def test_step_of_zero_keeps_the_state(implementation):
    args = draw(97, 6, 8, without=("d", "z", "dt_bias"))
    for value in (0.0, 1e-30, 1e-6, 50.0):
        args["dt"] = jnp.full_like(args["dt"], value)
        output, _ = check(implementation, args, reverse=True)
        if value == 0.0:
            np.testing.assert_array_equal(output.h_last, args["h0"])


@every_implementation
@pytest.mark.parametrize("everything", [False, True])
def test_bfloat16(implementation, everything):
    args = draw(*SMALL)
    for name in args if everything else SEQUENCES:
        args[name] = args[name].astype(jnp.bfloat16)
    output, grads = check(
        implementation, args, forward=1e-2, backward=1e-2, dt_softplus=True
    )
    assert output.y.dtype == jnp.bfloat16
    assert output.h_last.dtype == jnp.float32
    assert all(grads[name].dtype == args[name].dtype for name in args)


@every_implementation
@pytest.mark.parametrize("reverse", [False, True])
def test_two_halves_with_the_state_carried_are_one_scan(implementation, reverse):
    args = draw(24, 3, 4)
    options = {
        "implementation": implementation,
        "reverse": reverse,
        "dt_softplus": True,
    }
    run = jax.jit(functools.partial(call, **options))
    whole = run(args)
    halves = [
        {k: v[:, part] if k in SEQUENCES else v for k, v in args.items()}
        for part in (slice(0, 12), slice(12, 24))
    ]
    first, second = reversed(halves) if reverse else halves
    one = run(first)
    two = run({**second, "h0": one.h_last})
    y = [two.y, one.y] if reverse else [one.y, two.y]
    assert error(jnp.concatenate(y, axis=1), whole.y) < 1e-6
    assert error(two.h_last, whole.h_last) < 1e-6


@every_implementation
def test_reverse_is_flip_scan_flip(implementation):
    args = draw(24, 3, 4)
    flipped = {k: v[:, ::-1] if k in SEQUENCES else v for k, v in args.items()}
    run = functools.partial(call, implementation=implementation, dt_softplus=True)
    backward = jax.jit(functools.partial(run, reverse=True))(args)
    forward = jax.jit(run)(flipped)
    assert error(backward.y, forward.y[:, ::-1]) < 1e-6
    assert error(backward.h_last, forward.h_last) < 1e-6


@every_implementation
@pytest.mark.parametrize("reverse", [False, True])
def test_no_output_depends_on_later_steps(implementation, reverse):
    args = draw(24, 3, 4)
    now = 17
    later = slice(0, now) if reverse else slice(now + 1, None)
    run = jax.jit(
        functools.partial(
            call, implementation=implementation, dt_softplus=True, reverse=reverse
        )
    )
    before = run(args).y
    changed = {
        k: v.at[:, later].add(1.0) if k in SEQUENCES else v for k, v in args.items()
    }
    after = run(changed).y
    kept = slice(now, None) if reverse else slice(0, now + 1)
    np.testing.assert_array_equal(before[:, kept], after[:, kept])
    assert np.all(np.any(before[:, later] != after[:, later], axis=(0, 2)))


@every_implementation
def test_vmap_is_a_loop_over_the_mapped_axis(implementation):
    stacked = [draw(*SMALL, seed=s) for s in range(2)]
    bars = [cotangents(args, seed=s) for s, args in enumerate(stacked)]
    run = value_and_gradients(implementation, dt_softplus=True)
    want = [run(args, *bar) for args, bar in zip(stacked, bars, strict=True)]
    args, bars, want = (
        jax.tree.map(lambda *v: jnp.stack(v), *trees) for trees in (stacked, bars, want)
    )
    got = jax.vmap(run)(args, *bars)
    assert max(jax.tree.leaves(jax.tree.map(error, got, want))) < 1e-5


@every_implementation
def test_checkpoint_leaves_gradients_alone(implementation):
    args = draw(*SMALL)
    bars = cotangents(args)

    @jax.checkpoint
    def scan(args):
        return call(args, implementation=implementation, dt_softplus=True)

    @jax.jit
    def gradients(args):
        return jax.vjp(scan, args)[1](ScanOutput(*bars))[0]

    _, want = value_and_gradients(implementation, dt_softplus=True)(args, *bars)
    got = gradients(args)
    assert max(jax.tree.leaves(jax.tree.map(error, got, want))) < 1e-5


@every_implementation
def test_batch_sharded_over_devices(implementation):
    run = value_and_gradients(implementation, dt_softplus=True)
    check_sharded(run, draw(*SMALL, batch=8))


@every_implementation
def test_a_name_means_exactly_that_implementation(implementation, monkeypatch):
    ran = []
    for name, entry in IMPLEMENTATIONS.items():

        def spy(*args, name=name, entry=entry, **options):
            ran.append(name)
            return entry.run(*args, **options)

        monkeypatch.setitem(IMPLEMENTATIONS, name, entry._replace(run=spy))
    args = draw(3, 2, 1)
    trace(args, implementation=implementation)
    assert ran == [implementation]
    trace(args)
    assert ran[1:] == [choose(describe(args["x"], args["a"]))]


@pytest.mark.parametrize(
    ("case", "name"),
    [
        (Case(64, 96, 64, 16, "float32", "cpu"), "chunked"),
        (Case(8, 8192, 1024, 16, "bfloat16", "cpu"), "chunked"),
        (Case(512, 96, 1024, 16, "float32", "gpu"), "chunked"),
        (Case(8, 2048, 1024, 16, "float32", "gpu"), "associative"),
        (Case(1, 131072, 1024, 16, "float32", "gpu"), "chunked"),
    ],
)
def test_choice_by_platform_and_shape(case, name):
    # The kernels come first where this version of jax can trace them.
    assert choose(case) == ("pallas" if supports("pallas", case) else name)
    assert choose(case._replace(states=1000, platform="tpu")) != "pallas"


def test_the_choice_follows_the_argument_not_the_machine():
    args = draw(3, 2, 1)
    for platform, meant in (("cuda", "gpu"), ("gpu", "gpu"), ("tpu", "tpu")):
        case = describe(args["x"], args["a"], platform=platform)
        assert case.platform == meant
        assert bool(supports("pallas", case)) == (
            meant == "gpu" and jax.__version_info__ >= op.MIN_JAX
        )
    assert describe(args["x"], args["a"]).platform == jax.default_backend()


def test_choice_is_logged_once(caplog):
    args = draw(3, 2, 1)
    api._log_once.cache_clear()
    with caplog.at_level(logging.INFO, logger=api.__name__):
        trace(args)
        trace(args)
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["selective_scan runs as 'chunked' on cpu"]


def test_unsupported_implementation_says_why_and_is_never_chosen(monkeypatch):
    entry = IMPLEMENTATIONS["chunked"]._replace(
        supports=lambda case: Support(False, f"D = {case.dim} is odd.")
    )
    monkeypatch.setitem(IMPLEMENTATIONS, "chunked", entry)
    args = draw(3, 5, 1)
    case = describe(args["x"], args["a"])
    assert not supports("chunked", case)
    assert supports("reference", case)
    assert choose(case) == "reference"
    with pytest.raises(NotImplementedError, match="'chunked' cannot .* D = 5 is odd"):
        call(args, implementation="chunked")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": jnp.ones((3, 2))}, "`x`: expected 3 axes"),
        ({"a": jnp.ones(2)}, "`a`: expected 2 axes"),
        ({"x": jnp.ones((2, 0, 2))}, "no empty axis"),
        (
            {"dt": jnp.ones((2, 3, 1))},
            r"`dt`: expected shape \[B, L, D\] = \(2, 3, 2\)",
        ),
        ({"a": jnp.ones((3, 4))}, r"`a`: expected shape \[D, N\] = \(2, 4\)"),
        ({"b": jnp.ones((2, 3, 5))}, r"`b`: expected shape \[B, L, N\] = \(2, 3, 4\)"),
        ({"c": jnp.ones((2, 4, 3))}, "`c`: expected shape"),
        ({"d": jnp.ones((1, 2))}, r"`d`: expected shape \[D\] = \(2,\)"),
        ({"z": jnp.ones((2, 2))}, "`z`: expected shape"),
        ({"dt_bias": jnp.ones(3)}, "`dt_bias`: expected shape"),
        ({"h0": jnp.ones((2, 4, 2))}, r"`h0`: expected shape \[B, D, N\]"),
        ({"b": jnp.ones((2, 3, 4), int)}, "`b`: expected one of the dtypes float32"),
        ({"implementation": "fast"}, "one of .*'chunked'.* or None, got 'fast'"),
    ],
)
def test_bad_arguments(change, message):
    args = {**draw(3, 2, 4), **change}
    arrays = [args.pop(k) for k in ("x", "dt", "a", "b", "c")]
    # Under pytest jaxtyping would refuse them first; users do not run it.
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(selective_scan)(*arrays, **args)
