"""The GPU kernels, their bodies run by the interpreter on a CPU; and their lowering.

On a GPU the whole of `test_selective_scan.py` runs with them: `pytest -m gpu`.
"""

import collections
import functools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.sharding import Mesh, PartitionSpec
from scan_cases import (
    SEQUENCES,
    call,
    check,
    cotangents,
    draw,
    error,
    trace,
    value_and_gradients,
)

from damamba_jax.kernels.selective_scan import (
    IMPLEMENTATIONS,
    Case,
    Support,
    supports,
    truth,
)
from damamba_jax.kernels.selective_scan.arg_specs import ARG_SPECS, make_arguments
from damamba_jax.kernels.selective_scan.mosaic_gpu import op, tiling

wants_kernels = pytest.mark.skipif(
    jax.__version_info__ < op.MIN_JAX,
    reason=f"the kernels need jax {'.'.join(map(str, op.MIN_JAX))}",
)
# Marks tests that run the body of a kernel; their number is printed at the end.
runs_kernels = pytest.mark.kernel

LETTERS = ("length", "dim", "states")
SHAPE = re.compile(r"tensor<((?:\d+x)+)(?:f32|bf16)>")
# In the text of a lowered program.
FUNCTION = re.compile(r"^  func\.func \w+ @(\w+)\(", re.MULTILINE)
CALL = re.compile(r"^ +%.* = (?:func\.)?call @(\w+)\(", re.MULTILINE)
KERNEL = re.compile(r"custom_call @mosaic_gpu.*\\00selective_scan_(forward|backward)")
KERNEL_HASH = re.compile(r'kernel_hash = "([^"]*)"')

# (L, D, N, left out, dt_softplus, reverse, dtype, multiprocessors). The last two have
# places for several chunks of time: of the one the last chunk is shorter, of the other
# the carry kernel cuts every chunk in two.
CASES = {
    "one-step": (1, 3, 32, (), True, True, "bfloat16", 132),
    "no-gate": (33, 5, 8, ("z", "h0"), True, False, "float32", 132),
    "bare": (9, 130, 16, ("d", "z", "dt_bias", "h0"), False, True, "float32", 132),
    "97-steps": (97, 4, 16, (), True, False, "float32", 132),
    "bfloat16": (17, 4, 12, (), True, True, "bfloat16", 132),
    "chunks": (200, 2, 8, ("h0",), True, True, "float32", 4),
    "parts-of-chunks": (192, 2, 8, ("h0",), True, False, "float32", 4),
}


@pytest.mark.parametrize(("case", "tiles", "parts"), [
    ("chunks", [10, 10, 6], 1), ("parts-of-chunks", [8, 8, 8], 2),
])  # fmt: skip
def test_some_cases_are_split_in_time(case, tiles, parts):
    length, dim, states, *_, processors = CASES[case]
    sizes = tiling.pad_sizes(length, dim, states)
    cut = tiling.split_time(1, sizes, multiprocessors=processors)
    ends = [min((i + 1) * cut.tiles, sizes.tiles) for i in range(cut.number)]
    assert list(np.diff([0, *ends])) == tiles and cut.parts == parts


@pytest.fixture
def interpreter(monkeypatch):
    """Lets `"pallas"` run on a CPU, by the interpreter."""
    from jax.experimental.pallas import mosaic_gpu as plgpu

    anywhere = IMPLEMENTATIONS["pallas"]._replace(supports=lambda case: Support(True))
    monkeypatch.setitem(IMPLEMENTATIONS, "pallas", anywhere)
    with plgpu.force_gpu_interpret_mode():
        yield


@wants_kernels
@runs_kernels
@pytest.mark.parametrize("case", CASES)
def test_kernel_bodies_agree_with_numpy(interpreter, monkeypatch, case):
    length, dim, states, without, softplus, reverse, dtype, processors = CASES[case]
    monkeypatch.setattr(op, "MULTIPROCESSORS", processors)
    args = draw(length, dim, states, without=without, batch=1)
    args |= {k: v.astype(dtype) for k, v in args.items() if k in SEQUENCES}
    forward, backward = (1e-5, 1e-4) if dtype == "float32" else (1e-2, 1e-2)
    check(
        "pallas", args, forward=forward, backward=backward,
        dt_softplus=softplus, reverse=reverse,
    )  # fmt: skip


@wants_kernels
@runs_kernels
@pytest.mark.parametrize("output", ["y", "h_last"])
def test_gradients_of_one_output_alone(interpreter, output):
    """As in a model: no first state is given, and one output is not read."""
    args = draw(9, 3, 8, without=("h0",), batch=1)
    y_bar, h_bar = cotangents(args)
    bars = {"y": (y_bar, 0.0 * h_bar), "h_last": (0.0 * y_bar, h_bar)}[output]

    @jax.jit
    @jax.grad
    def gradients(args):
        results = call(args, implementation="pallas", dt_softplus=True)
        return jnp.sum(getattr(results, output) * (y_bar if output == "y" else h_bar))

    want = truth.gradients(args, *bars, dt_softplus=True)
    got = gradients(args)
    errors = {name: error(got[name], want[name]) for name in want}
    assert max(errors.values()) <= 1e-4, errors


@wants_kernels
@runs_kernels
@pytest.mark.parametrize("mapped", ["everything", "sequences"])
def test_vmap_is_a_loop_or_a_larger_batch(interpreter, mapped):
    stacked = [draw(5, 3, 8, seed=s, batch=1) for s in range(2)]
    layer = {k: stacked[0][k] for k in ("a", "d", "dt_bias")}
    if mapped == "sequences":
        stacked = [args | layer for args in stacked]
    scan = functools.partial(call, implementation="pallas", dt_softplus=True)
    want = [scan(args) for args in stacked]
    args, want = (jax.tree.map(lambda *v: jnp.stack(v), *v) for v in (stacked, want))
    axes = dict.fromkeys(args, 0)
    if mapped == "sequences":
        args, axes = args | layer, axes | dict.fromkeys(layer)
    got = jax.vmap(scan, in_axes=(axes,))(args)
    assert max(jax.tree.leaves(jax.tree.map(error, got, want))) < 1e-6


@wants_kernels
@runs_kernels
def test_shard_map_is_the_same_scan(interpreter):
    args = draw(5, 3, 8, batch=2)
    scan = functools.partial(call, implementation="pallas", dt_softplus=True)
    # One device: the interpreter's simulated memory is shared by all of them.
    rows = {
        k: PartitionSpec("rows" if v.shape[0] == 2 else None) for k, v in args.items()
    }
    mesh = Mesh(np.array(jax.devices()[:1]), ("rows",))
    sharded = jax.shard_map(
        scan, mesh=mesh, in_specs=(rows,), out_specs=PartitionSpec("rows"),
        check_vma=False,
    )  # fmt: skip
    got, want = jax.jit(sharded)(args), scan(args)
    assert max(jax.tree.leaves(jax.tree.map(error, got, want))) < 1e-6


@pytest.fixture
def anywhere(monkeypatch):
    """Lets `"pallas"` be lowered on any machine."""
    anywhere = IMPLEMENTATIONS["pallas"]._replace(supports=lambda case: Support(True))
    monkeypatch.setitem(IMPLEMENTATIONS, "pallas", anywhere)
    return anywhere


def lower(function, args):
    """Text of a program for a GPU."""
    return export.export(jax.jit(function), platforms=["cuda"])(args).mlir_module()


def called_kernels(text, function="main"):
    """Counts the calls of each kernel when a program runs once."""
    names, bodies = (FUNCTION.split(text)[i::2] for i in (1, 2))
    body = dict(zip(names, bodies, strict=True))[function]
    found = collections.Counter(KERNEL.findall(body))
    for callee in CALL.findall(body):
        found += called_kernels(text, callee)
    return found


@wants_kernels
@pytest.mark.parametrize(
    ("name", "dtype"), [("window_1024", "float32"), ("sequence_2k", "bfloat16")]
)
def test_lowers_for_a_gpu(anywhere, name, dtype):
    args = jax.eval_shape(lambda: make_arguments(ARG_SPECS[name], dtype=dtype))

    def gradients(args):
        scan = functools.partial(call, implementation="pallas", dt_softplus=True)
        output, pullback = jax.vjp(scan, args)
        return output, pullback(output)

    text = lower(gradients, args)
    kernels = {"selective_scan_forward", "selective_scan_backward"}
    if name == "sequence_2k":
        kernels |= {"selective_scan_carry", "selective_scan_adjoint_carry"}
    assert all(kernel in text for kernel in kernels)
    # No array has an axis of every step, every channel and every state.
    length, dim, states = (getattr(ARG_SPECS[name], k) for k in LETTERS)
    elements = ARG_SPECS[name].batch * length * dim * states
    sizes = [math.prod(map(int, s.split("x")[:-1])) for s in SHAPE.findall(text)]
    assert max(sizes) <= elements / 8


@wants_kernels
@pytest.mark.parametrize(("policy", "forward"), [("nothing", 2), ("states", 1)])
def test_states_can_be_kept_under_rematerialisation(anywhere, policy, forward):
    args = jax.eval_shape(lambda: make_arguments(ARG_SPECS["window_512"]))
    policies = jax.checkpoint_policies
    policy = {
        "nothing": policies.nothing_saveable,
        "states": policies.save_only_these_names(anywhere.kept),
    }[policy]
    scan = functools.partial(call, implementation="pallas", dt_softplus=True)
    remat = jax.checkpoint(lambda args: scan(args).y, policy=policy)
    text = lower(jax.grad(lambda args: jnp.sum(jnp.sin(remat(args)))), args)
    assert called_kernels(text) == {"backward": 1, "forward": forward}


@wants_kernels
def test_both_directions_of_all_layers_are_one_kernel(anywhere):
    args = jax.eval_shape(lambda: make_arguments(ARG_SPECS["window_512"]))

    @jax.checkpoint
    def layer(x, args):
        for reverse in (False, True):
            x = call({**args, "x": x}, implementation="pallas", reverse=reverse).y
        return x

    def loss(args):
        return jnp.sum(jnp.sin(layer(layer(args["x"], args), args)))

    text = lower(jax.grad(loss), args)
    assert called_kernels(text) == {"backward": 4, "forward": 8}
    assert len(set(KERNEL_HASH.findall(text))) == 2


@pytest.mark.gpu
@pytest.mark.parametrize("length", [97, 5000])
def test_repeated_runs_over_poisoned_memory_are_the_same_bits(length):
    args = draw(length, 130, 16)
    bars = cotangents(args)
    run = value_and_gradients("pallas", dt_softplus=True)
    runs = []
    for _ in range(3):
        # What the next outputs are allocated from; an element that no thread writes
        # shows.
        poison = [jnp.full((2**24,), jnp.nan) for _ in range(8)]
        jax.block_until_ready(poison)
        del poison
        runs.append(jax.device_get(run(args, *bars)))
    for again in runs:
        assert all(np.all(np.isfinite(v)) for v in jax.tree.leaves(again))
        jax.tree.map(np.testing.assert_array_equal, again, runs[0])


@pytest.mark.gpu
def test_arguments_may_lie_anywhere_in_a_larger_array():
    """XLA hands a slice to a kernel as an address, which kernels want aligned."""
    args = draw(96, 128, 16)
    names = ("d", "dt_bias")
    # Slices at multiples of 128 bytes, not 256, are handed over without a copy.
    whole = jnp.concatenate([jnp.zeros(32), *(args[name] for name in names)])

    @jax.jit
    def run(whole, *bars):
        cut = {n: whole[32 + 128 * i :][:128] for i, n in enumerate(names)}
        return value_and_gradients("pallas", dt_softplus=True)({**args, **cut}, *bars)

    bars = cotangents(args)
    expected = value_and_gradients("pallas", dt_softplus=True)(args, *bars)
    jax.tree.map(np.testing.assert_array_equal, run(whole, *bars), expected)


def test_reason_of_a_machine_without_kernels():
    support = supports("pallas", Case(2, 96, 64, 16, "float32", "cpu"))
    assert not support
    assert "jax 0.11.2" in support.reason or "NVIDIA GPU" in support.reason
    args = draw(3, 2, 8)
    with pytest.raises(NotImplementedError, match="'pallas' cannot do this case"):
        trace(args, implementation="pallas")
