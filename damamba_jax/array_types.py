"""Array types used in public signatures, and the table of their dimensions.

| letter | dimension                                             |
|--------|-------------------------------------------------------|
| `B`    | windows of a batch                                    |
| `P`    | participants, the target first                        |
| `T`    | time: frames of the model, at `frame_hz`              |
| `Tn`   | time: frames of one feature, at its native rate       |
| `Tl`   | time: frames of the annotation, at its own rate       |
| `L`    | time steps inside the scan                            |
| `D`    | channels                                              |
| `N`    | states per channel of the selective scan              |
| `H`    | heads of Mamba-2                                      |
| `E`    | channels of one head of Mamba-2                       |
| `K`    | frames of one attention chunk                         |

Shapes are checked at run time under pytest only (jaxtyping with beartype).
"""

from typing import TYPE_CHECKING

from jaxtyping import Bool, Float, Int

if TYPE_CHECKING:
    from jax import Array

__all__ = ["Array", "Bool", "Float", "Int"]


def __getattr__(name: str):
    # JAX is imported only when `Array` is asked for: the code that reads and draws
    # corpora needs only NumPy.
    if name != "Array":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from jax import Array

    return Array
