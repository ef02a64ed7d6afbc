"""Pictures are drawn whatever backend of matplotlib another program asked for."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("name", ["module://no_such.backend", "module://os", "pdf", ""])
def test_an_inherited_backend_that_is_absent_does_no_harm(name):
    program = "import os, damamba_jax.reporting.figure; print(os.getenv('MPLBACKEND'))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env={**os.environ, "MPLBACKEND": name},
    )  # fmt: skip
    # One that is there stays as it is.
    assert done.stdout.strip() == ("None" if "no_such" in name else name)
