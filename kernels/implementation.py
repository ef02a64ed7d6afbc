"""Types and checks that are common to the implementations of every operation.

Every operation of this package has several implementations behind one function. They
share one signature, and each implementation says which cases it can do.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

_DTYPES = ("float32", "bfloat16")
# Other names that JAX has for the platforms.
_PLATFORMS = {"cuda": "gpu", "rocm": "gpu"}


class Support(NamedTuple):
    """Tells whether an implementation can do a case. Conditions read `ok`.

    Attributes:
      ok: whether the implementation can do the case.
      reason: a sentence that says why the implementation cannot do the case.
    """

    ok: bool
    reason: str = ""

    def __bool__(self) -> bool:
        return self.ok


class Implementation(NamedTuple):
    """One way to compute an operation.

    Attributes:
      run: the function that computes the operation from its arrays and its options.
      supports: the function that says whether this implementation can do a case.
      kept: the name of the values that are kept for the backward pass, besides the
        arguments. Policies of `jax.checkpoint` use this name. It is None if the
        implementation names no values.
    """

    run: Callable[[Any, Any], Any]
    supports: Callable[[Any], Support]
    kept: str | None = None


def everywhere(case: Any) -> Support:
    """Supports every case: XLA compiles plain array code for every platform."""
    del case
    return Support(True)


def name_platform(platform: str | None) -> str:
    """Names the platform that a program is meant for: `"cpu"`, `"gpu"` or `"tpu"`.

    Args:
      platform: any name that JAX has for the platform; `None` means the platform of
        this machine.
    """
    platform = platform or jax.default_backend()
    return _PLATFORMS.get(platform, platform)


def find(implementations: Mapping[str, Implementation], name: str) -> Implementation:
    """Looks up an implementation by its name.

    Raises:
      ValueError: if the name is unknown.
    """
    if name not in implementations:
        raise ValueError(
            f"`implementation`: expected one of {list(implementations)} or None, got "
            f"{name!r}."
        )
    return implementations[name]


def require(support: Support, name: str) -> None:
    """Raises `NotImplementedError` with the reason if a case is not supported."""
    if not support:
        raise NotImplementedError(
            f"`implementation`: {name!r} cannot do this case: {support.reason} Set it "
            f"to None to get one that can."
        )


def check_arrays(
    arrays: Mapping[str, jax.Array | None],
    expected: Mapping[str, tuple[str, tuple[int, ...]]],
    *,
    fitting: tuple[str, str],
) -> None:
    """Checks shapes and dtypes of an operation's arrays; `None` stands for no array.

    Args:
      arrays: the arrays, by the name of the argument.
      expected: for each argument, the letters of its axes and their sizes.
      fitting: the names of the two arguments that the sizes were taken from.

    Raises:
      ValueError: if a shape does not fit, or if a dtype is not supported.
    """
    one, two = fitting
    given = {name: value for name, value in arrays.items() if value is not None}
    for name, value in given.items():
        letters, shape = expected[name]
        if value.shape != shape:
            raise ValueError(
                f"`{name}`: expected shape [{letters}] = {shape} to fit `{one}` "
                f"{given[one].shape} and `{two}` {given[two].shape}, got "
                f"{value.shape}."
            )
        if jnp.result_type(value).name not in _DTYPES:
            raise ValueError(
                f"`{name}`: expected one of the dtypes {', '.join(_DTYPES)}, got "
                f"{jnp.result_type(value).name}; cast it first."
            )
