"""Implementations of one operation: what they are, whether they can run, checks.

Every operation of this package has several implementations behind one function. They
share their signature, and each says which cases it can do.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

_DTYPES = ("float32", "bfloat16")
# JAX's other names of the platforms.
_PLATFORMS = {"cuda": "gpu", "rocm": "gpu"}


class Support(NamedTuple):
    """Whether an implementation can do a case; false in a condition if it cannot.

    Attributes:
      ok: whether it can.
      reason: why it cannot, as a sentence.
    """

    ok: bool
    reason: str = ""

    def __bool__(self) -> bool:
        return self.ok


class Implementation(NamedTuple):
    """One way to compute an operation.

    Attributes:
      run: called with the operation's arrays and its options.
      supports: says whether it can do a case.
      kept: name, for a policy of `jax.checkpoint`, of what it keeps for its backward
        pass besides arguments; None if it names nothing.
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
      platform: any name that JAX knows it by; `None` means this machine's own.
    """
    platform = platform or jax.default_backend()
    return _PLATFORMS.get(platform, platform)


def find(implementations: Mapping[str, Implementation], name: str) -> Implementation:
    """Looks an implementation up.

    Raises:
      ValueError: for an unknown name.
    """
    if name not in implementations:
        raise ValueError(
            f"`implementation`: expected one of {list(implementations)} or None, got "
            f"{name!r}."
        )
    return implementations[name]


def require(support: Support, name: str) -> None:
    """Raises `NotImplementedError` with the reason, unless a case is supported."""
    if not support:
        raise NotImplementedError(
            f"`implementation`: {name!r} cannot do this case: {support.reason} Leave "
            f"it None for one that can."
        )


def check_arrays(
    arrays: Mapping[str, jax.Array | None],
    expected: Mapping[str, tuple[str, tuple[int, ...]]],
    *,
    fitting: tuple[str, str],
) -> None:
    """Checks shapes and dtypes of an operation's arrays; `None` stands for no array.

    Args:
      arrays: by argument.
      expected: per argument, letters of the axes and their sizes.
      fitting: the arguments that the sizes were taken from.

    Raises:
      ValueError: for a shape that does not fit, or a dtype that is not supported.
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
