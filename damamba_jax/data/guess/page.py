"""Writes the text of a configuration that was guessed."""

from pathlib import Path
from typing import NamedTuple

from damamba_jax.data.guess.write import Item, assign, assign_table, comment, quote
from damamba_jax.schema.release import RELEASED_FEATURES

_HEAD = '''"""Configuration that `damamba init-corpus` has guessed.

Each guess has its reason above it. Read the reasons, check what is read, and train:

    damamba inventory --config=my_corpus.py
    damamba train --config=my_corpus.py
"""
'''


class _Released(NamedTuple):
    """The configuration of a released corpus.

    Attributes:
      module: its file in `configs/`.
      whole: the preset that reads all columns of the release.
      other: the preset for features of other widths.
    """

    module: str
    whole: str
    other: str


_CONFIGS = {
    "noxi": _Released("noxi", "paper", "demo"),
    "mpiigroupinteraction": _Released("mpiigi", "paper", "demo"),
    "noxi-j": _Released("noxi_j", "paper", "25hz"),
    "pinsoro": _Released("pinsoro", "task", "task"),
}


class Guess(NamedTuple):
    """A configuration that was guessed.

    Attributes:
      name: name of the configuration.
      table: features by name.
      settings: values by field of the configuration, in the order of the lines.
      notes: sentences about files that were passed over and fields to set.
      starts_small: whether there are few sessions with one person each, for which a
        small network is enough.
    """

    name: str
    table: dict[str, Item]
    settings: dict[str, Item]
    notes: tuple[str, ...]
    starts_small: bool


def of_guess(found: Guess) -> str:
    """Writes the configuration that was guessed, with the reason before each value."""
    modules, preset, start = "noxi", "demo", ["    config = noxi.get_config(preset)"]
    if found.starts_small:
        modules, preset = "noxi, small", "small"
        start = [
            *comment("There are few people, and nobody has a partner, so that a small "
                     "network is used. `:demo` takes DA-Mamba in its place.", 4),
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
    """Writes a configuration that uses the one of a released corpus.

    Args:
      root: resolved folder.
      name: name of the corpus.
      dims: number of columns of each feature that the folder holds.
    """
    # PInSoRo is released in two parts, which share a configuration.
    module, whole, other = _CONFIGS[name.removesuffix("-cc").removesuffix("-cr")]
    released = {n: RELEASED_FEATURES[n].dim for n in dims}
    preset = whole if dims == released else other
    lines = [_HEAD, f"from damamba_jax.configs import {module}", "", ""]
    lines += [f'def get_config(preset="{preset}"):']
    lines += comment(
        f"This folder has the layout of the released corpus {name}. You can also read "
        f"it with --config=configs/{module}.py --config.data.root=DIR.",
        4,
    )
    lines += [f"    config = {module}.get_config(preset)"]
    lines += assign("config.data.root", Item(str(root)))
    used = [n for n in ("egemaps", "w2vbert2", "clip", "openface2", "openpose")]
    names = [n for n in used if n in dims] or list(dims)
    if names != used:
        item = Item(",".join(names), "The folder holds these features.")
        lines += assign("config.data.features", item)
    for feature, dim in dims.items():
        if dim != RELEASED_FEATURES[feature].dim:
            lines += assign(
                f"config.features[{quote(feature)}].dim",
                Item(dim, "The headers give this number; the release has another."),
            )
    return "\n".join([*lines, "    return config", ""])
