"""XLA's own account of the memory of a compiled program."""

from typing import NamedTuple

import jax


class Memory(NamedTuple):
    """Bytes of a program.

    Attributes:
      peak_bytes: arguments, outputs and temporaries; what is donated counts once.
      temporary_bytes: temporaries alone.
    """

    peak_bytes: int
    temporary_bytes: int


def account(compiled: jax.stages.Compiled) -> Memory:
    """Reads the account of a program.

    Raises:
      NotImplementedError: if this platform's compiler keeps none.
    """
    memory = compiled.memory_analysis()
    if memory is None:
        raise NotImplementedError(
            f"the compiler for {jax.default_backend()} keeps no account of memory."
        )
    peak = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
    )
    return Memory(peak, memory.temp_size_in_bytes)
