"""The memory of a compiled program, as XLA reports it."""

from typing import NamedTuple

import jax


class Memory(NamedTuple):
    """Bytes of a program.

    Attributes:
      peak_bytes: the bytes of arguments, outputs and temporaries. An argument whose
        memory an output takes over counts once.
      temporary_bytes: the bytes of temporaries only.
    """

    peak_bytes: int
    temporary_bytes: int


def account(compiled: jax.stages.Compiled) -> Memory:
    """Reads the memory of a program from the compiler.

    Raises:
      NotImplementedError: if this platform's compiler does not report memory.
    """
    memory = compiled.memory_analysis()
    if memory is None:
        raise NotImplementedError(
            f"the compiler for {jax.default_backend()} does not report memory."
        )
    peak = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
    )
    return Memory(peak, memory.temp_size_in_bytes)
