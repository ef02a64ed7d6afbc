"""The text of a configuration that was guessed."""

from pathlib import Path
from typing import NamedTuple

from damamba_jax.data.guess.write import Item, assign, assign_table, comment, quote
from damamba_jax.schema.release import RELEASED_FEATURES

_HEAD = '''"""Configuration that `damamba init-corpus` has guessed.

Each guess has its reason beside it. Read them, then check what is read, and train:

    damamba inventory --config=my_corpus.py
    damamba train --config=my_corpus.py
"""
'''
_CONFIGS = {"noxi": "noxi", "mpiigroupinteraction": "mpiigi"}


class Guess(NamedTuple):
    """A configuration that was guessed.

    Attributes:
      name: of the configuration.
      table: features by name.
      settings: `config.FIELD = value`, in this order.
      notes: sentences about what was passed over or cannot be guessed.
      starts_small: whether few people are looked at, each by itself.
    """

    name: str
    table: dict[str, Item]
    settings: dict[str, Item]
    notes: tuple[str, ...]
    starts_small: bool


def of_guess(found: Guess) -> str:
    """Writes what was guessed, each value behind its reason."""
    modules, preset, start = "noxi", "demo", ["    config = noxi.get_config(preset)"]
    if found.starts_small:
        modules, preset = "noxi, small", "small"
        start = [
            *comment("Few people, each by itself: a small network. `:demo` takes "
                     "DA-Mamba in its place.", 4),
            '    if preset == "small":',
            "        config = small.get_config()",
            "    else:",
            "        config = noxi.get_config(preset)",
        ]  # fmt: skip
    lines = [_HEAD, f"from damamba_jax.configs import {modules}", "", ""]
    lines += [f'def get_config(preset="{preset}"):']
    for note in found.notes:
        lines += comment(note, 4)
    lines += start
    lines += [f'    config.name = f"{found.name}-{{preset}}"']
    lines += assign_table("config.features", found.table)
    for field, item in found.settings.items():
        lines += assign(f"config.{field}", item)
    return "\n".join([*lines, "    return config", ""])


def of_release(root: Path, name: str, dims: dict[str, int]) -> str:
    """Writes that a released corpus is read by its own configuration.

    Args:
      root: resolved folder.
      name: of the corpus.
      dims: columns of the features that are there.
    """
    module = _CONFIGS[name]
    released = {n: RELEASED_FEATURES[n].dim for n in dims}
    preset = "paper" if dims == released else "demo"
    lines = [_HEAD, f"from damamba_jax.configs import {module}", "", ""]
    lines += [f'def get_config(preset="{preset}"):']
    lines += comment(
        f"This folder has the layout of a released corpus, {name}: use it with "
        f"--config=configs/{module}.py --config.data.root=DIR. This file does so.",
        4,
    )
    lines += [f"    config = {module}.get_config(preset)"]
    lines += assign("config.data.root", Item(str(root)))
    used = [n for n in ("egemaps", "w2vbert2", "clip", "openface2", "openpose")]
    names = [n for n in used if n in dims] or list(dims)
    if names != used:
        item = Item(",".join(names), "Those that are there.")
        lines += assign("config.data.features", item)
    for feature, dim in dims.items():
        if dim != RELEASED_FEATURES[feature].dim:
            lines += assign(
                f"config.features[{quote(feature)}].dim",
                Item(dim, "The headers' own, other than the release's."),
            )
    return "\n".join([*lines, "    return config", ""])
