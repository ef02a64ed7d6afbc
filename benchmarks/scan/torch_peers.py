"""Scans of other projects in PyTorch: mamba_ssm's CUDA kernel, and a plain time loop.

`peers.py` starts this module in a process of its own. It writes a request as JSON to
the standard input, and reads the standard output, which has one row of JSON per line.
A request is:

    {"device": "cuda", "specs": {NAME: [B, L, D, N]}, "dtypes": [...],
     "peers": [...], "parity": {DTYPE: [FILE.npz]}, "tolerance": {DTYPE: 1e-4},
     "repeats": 50, "seconds": 2.0}

A peer is timed in a dtype only if it agrees with our reference. The files hold the
arguments and the results of the reference. Sequences are [B, D, L] here, and no
transpose is timed.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

# PyTorch is no dependency of this project. Without it there are no peers.
import torch  # pyright: ignore[reportMissingImports]
import torch.nn.functional as F  # pyright: ignore[reportMissingImports]

GRADIENTS = ("x", "dt", "a", "b", "c", "d", "dt_bias", "z")
ROTATING_BYTES = 400e6


class Inputs(NamedTuple):
    """Arguments with the names of our scan, sequences [B, D, L]; and y's gradient."""

    x: torch.Tensor
    dt: torch.Tensor
    a: torch.Tensor
    b: torch.Tensor
    c: torch.Tensor
    d: torch.Tensor
    dt_bias: torch.Tensor
    z: torch.Tensor
    y_bar: torch.Tensor


class Peer(NamedTuple):
    """A scan of another project.

    Attributes:
      forward: the function that computes the output.
      forward_backward: the function that computes the output and all gradients.
      kept_bytes: the function that counts the bytes that are kept for the backward
        pass; None if they are unknown.
    """

    forward: Callable[[Inputs], torch.Tensor]
    forward_backward: Callable[[Inputs], tuple[torch.Tensor, Sequence[torch.Tensor]]]
    kept_bytes: Callable[[Inputs], int] | None


def mamba_peer() -> Peer:
    """Makes the peer that calls mamba_ssm's extension without its autograd wrapper."""
    import selective_scan_cuda  # pyright: ignore[reportMissingImports]  (as above)

    def run(v: Inputs) -> list[torch.Tensor]:
        b, c = v.b[:, None], v.c[:, None]  # one group
        return selective_scan_cuda.fwd(v.x, v.dt, v.a, b, c, v.d, v.z, v.dt_bias, True)

    def forward_backward(v: Inputs):
        out, states, y = run(v)
        b, c = v.b[:, None], v.c[:, None]
        grads = selective_scan_cuda.bwd(
            v.x, v.dt, v.a, b, c, v.d, v.z, v.dt_bias,
            v.y_bar, states, out, None, True, False,
        )  # fmt: skip
        return y, grads

    return Peer(
        lambda v: run(v)[2],
        forward_backward,
        lambda v: sum(t.numel() * t.element_size() for t in run(v)[:2]),
    )


def loop_peer() -> Peer:
    """Makes the peer that loops over time and gets its gradients from autograd."""

    def run(v: Inputs) -> torch.Tensor:
        step = F.softplus(v.dt.float() + v.dt_bias[:, None])
        drive, b, c = step * v.x.float(), v.b.float(), v.c.float()
        h, y = torch.zeros((), device=v.x.device), []
        for t in range(v.x.shape[2]):
            h = torch.exp(step[:, :, t, None] * v.a) * h
            h = h + drive[:, :, t, None] * b[:, None, :, t]
            y.append((h * c[:, None, :, t]).sum(-1))
        y = torch.stack(y, dim=-1) + v.d[:, None] * v.x.float()
        return (y * F.silu(v.z.float())).to(v.x.dtype)

    def forward_backward(v: Inputs):
        leaves = Inputs(*(t.detach().requires_grad_() for t in v))
        y = run(leaves)
        wanted = [getattr(leaves, name) for name in GRADIENTS]
        return y, torch.autograd.grad(y, wanted, v.y_bar)

    return Peer(torch.no_grad()(run), forward_backward, None)


PEERS = {"mamba_ssm": mamba_peer, "torch loop": loop_peer}


def draw(spec: Sequence[int], dtype: torch.dtype, device: str, seed: int) -> Inputs:
    """Draws inputs from the distributions of `arg_specs.make_arguments`."""
    batch, length, dim, states = spec
    generator = torch.Generator(device).manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator, device=device)

    def uniform(low, high, *shape):
        drawn = torch.rand(shape, generator=generator, device=device)
        return low + (high - low) * drawn

    levels = torch.arange(1.0, states + 1, device=device)
    return Inputs(
        x=normal(batch, dim, length).to(dtype),
        dt=(0.5 * normal(batch, dim, length)).to(dtype),
        a=-levels * uniform(0.8, 1.2, dim, states),
        b=normal(batch, states, length).to(dtype),
        c=normal(batch, states, length).to(dtype),
        d=normal(dim),
        dt_bias=uniform(-4.0, -2.0, dim),
        z=normal(batch, dim, length).to(dtype),
        y_bar=normal(batch, dim, length).to(dtype),
    )


def disagreement(peer: Peer, path: str, dtype: torch.dtype, device: str) -> float:
    """Returns the largest max |err| / max |ref| against a file. A NaN gives NaN."""
    with np.load(path) as file:
        arrays = {name: torch.from_numpy(file[name]) for name in file}

    def layout(array):
        return array.transpose(1, 2).contiguous() if array.ndim == 3 else array

    def argument(name):
        array = layout(arrays[name]).to(device)
        return array.to(dtype) if array.ndim == 3 else array

    inputs = Inputs(*map(argument, Inputs._fields))
    y, grads = peer.forward_backward(inputs)
    got = {"y": y, "y alone": peer.forward(inputs)}
    # The extension returns b and c with an axis of groups.
    got |= {
        f"grad_{name}": grad.reshape(getattr(inputs, name).shape)
        for name, grad in zip(GRADIENTS, grads, strict=True)
    }
    errors = []
    for name, value in got.items():
        want = layout(arrays[name.removesuffix(" alone")])
        error = (value.detach().float().cpu() - want).abs().max() / want.abs().max()
        errors.append(error)
    return float(torch.stack(errors).max())


def measure(
    call: Callable[[Inputs], Any], sets: Sequence[Inputs], repeats: int, seconds: float
) -> float:
    """Measures the median seconds of a call. On a GPU, CUDA events measure the time.

    A call that takes `seconds` or longer runs only once.
    """
    gpu = sets[0].x.is_cuda

    def timed(inputs: Inputs) -> Callable[[], float]:
        if not gpu:
            start = time.perf_counter()
            call(inputs)
            taken = time.perf_counter() - start
            return lambda: taken
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        call(inputs)
        last.record()
        return lambda: 1e-3 * first.elapsed_time(last)

    def batch(count: int) -> list[float]:
        marks = [timed(sets[i % len(sets)]) for i in range(count)]
        if gpu:
            torch.cuda.synchronize()
        return [mark() for mark in marks]

    (once,) = batch(1)
    if once >= seconds:
        return once
    (once,) = batch(1)
    batch(min(10, max(1, int(seconds / once))))
    return statistics.median(batch(max(3, min(repeats, int(seconds / once)))))


def bench(
    by: str, peer: Peer, name: str, spec: Sequence[int], dtype: str, request: dict
) -> Iterator[dict[str, Any]]:
    """Yields a row for each of the two runs of a peer at one shape."""
    device = request["device"]
    first = draw(spec, getattr(torch, dtype), device, 0)
    size = sum(t.numel() * t.element_size() for t in first)
    number = 1 if device == "cpu" else max(2, min(4, round(ROTATING_BYTES / size)))
    sets = [first, *(draw(spec, first.x.dtype, device, s) for s in range(1, number))]
    for run in ("forward", "forward_backward"):
        call = getattr(peer, run)
        kept, gpu, waiting = None, device != "cpu", 0
        if run == "forward_backward" and peer.kept_bytes is not None:
            kept = peer.kept_bytes(first)
        if gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            # The other sets of inputs do not belong to the memory of one call.
            waiting = torch.cuda.memory_allocated() - size
        taken = measure(call, sets, request["repeats"], request["seconds"])
        peak = torch.cuda.max_memory_allocated() - waiting if gpu else None
        yield {"shape": name, "dtype": dtype, "run": run, "by": by, "ms": 1e3 * taken,
               "peak_bytes": peak, "kept_bytes": kept}  # fmt: skip


def rows_of(by: str, request: dict) -> Iterator[dict[str, Any]]:
    """Checks one peer and times it. Every error becomes the note of a row."""
    try:
        peer = PEERS[by]()
    except ImportError as error:
        yield {"by": by, "note": f"cannot be imported: {error}"}
        return
    for dtype in request["dtypes"]:
        row = {"by": by, "dtype": dtype}
        try:
            worst = check(peer, dtype, request)
        except RuntimeError as error:
            yield row | _explain(error)
            continue
        if not worst <= request["tolerance"][dtype]:
            note = f"disagrees with our reference: {worst:.1e}"
            yield row | {"failed": True, "note": note}
            continue
        for name, spec in request["specs"].items():
            try:
                for measured in bench(by, peer, name, spec, dtype, request):
                    yield measured | {"error": worst}
            except RuntimeError as error:
                yield row | {"shape": name} | _explain(error)


def _explain(error: RuntimeError) -> dict[str, Any]:
    """Returns the fields of a row without a time. Too little memory is no failure."""
    if isinstance(error, torch.OutOfMemoryError):
        return {"note": "out of memory"}
    return {"failed": True, "note": str(error).splitlines()[0]}


def check(peer: Peer, dtype: str, request: dict) -> float:
    """Returns the largest error over all parity files."""
    files, type_ = request["parity"][dtype], getattr(torch, dtype)
    errors = [disagreement(peer, file, type_, request["device"]) for file in files]
    return float(np.max(errors))


def main() -> None:
    """Answers one request."""
    request = json.load(sys.stdin)
    for by in request["peers"]:
        for row in rows_of(by, request):
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
