"""Strictness for the whole suite: shapes, dtypes and ranks are checked at run time."""

import os
import sys

from compiler_flags import fast_compilation

# Before jax is imported. Several virtual devices: sharding is tested anywhere.
os.environ.setdefault("XLA_FLAGS", fast_compilation(devices=4))
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")
# Tests leave nothing in the user's cache.
os.environ["DAMAMBA_CACHE"] = "off"

from jaxtyping import install_import_hook  # noqa: E402  (environment first)

install_import_hook("damamba_jax", "beartype.beartype")

import jax  # noqa: E402
import pytest  # noqa: E402
from absl import flags  # noqa: E402

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
# grain's workers read absl flags, which pytest never parses.
flags.FLAGS.mark_as_parsed()


def pytest_addoption(parser):
    parser.addoption(
        "--slow", action="store_true", help="run slow tests under every Python"
    )


def pytest_runtest_setup(item):
    # Kernels run under newer Pythons alone: each takes its share of CI's time.
    once = sys.version_info >= (3, 12) and not item.config.getoption("--slow")
    if once and item.get_closest_marker("slow"):
        pytest.skip("slow, and the same under every Python: run with 3.11, or --slow")
    if item.get_closest_marker("gpu") and jax.default_backend() != "gpu":
        pytest.skip("needs a GPU: JAX_PLATFORMS=cuda python -m pytest -n 0 -m gpu")


def pytest_terminal_summary(terminalreporter):
    # CI reads this: kernels that no test runs must not go unnoticed.
    passed = terminalreporter.stats.get("passed", [])
    number = sum("kernel" in report.keywords for report in passed)
    terminalreporter.write_line(f"tests that ran a GPU kernel's body: {number}")
