"""Options of XLA."""

import jax
import jax.numpy as jnp
import pytest

from damamba_jax.runtime.compiler import compiler_options


def test_only_gpus_have_options():
    assert compiler_options("cpu") == compiler_options("tpu") == {}
    assert compiler_options("gpu")


def test_xla_knows_the_options():
    lowered = jax.jit(jnp.sin).lower(1.0)
    compiled = lowered.compile(compiler_options=compiler_options("gpu"))
    assert compiled(1.0) == jnp.sin(1.0)
    with pytest.raises(Exception, match="xla_gpu_no_such_option"):
        lowered.compile(compiler_options={"xla_gpu_no_such_option": False})
