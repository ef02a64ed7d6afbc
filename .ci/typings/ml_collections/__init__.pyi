"""Types of `ml_collections` that the type checker is to use.

The library has no annotations. Read from its source, a field of a configuration would
have every type that any field may have; here it has none.
"""

from typing import Any

class ConfigDict(Any): ...

def __getattr__(name: str) -> Any: ...
