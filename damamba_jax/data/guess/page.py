"""The text of a configuration that was guessed."""

from pathlib import Path

from damamba_jax.data.guess.guess import Guess, guess
from damamba_jax.data.guess.released import find_release
from damamba_jax.data.guess.write import Item, assign, assign_table, comment, quote
from damamba_jax.schema.release import RELEASED_FEATURES

_HEAD = '''"""Configuration that `damamba init-corpus` has guessed.

Each guess has its reason beside it. Read them, then check what is read, and train:

    damamba inventory --config=my_corpus.py
    damamba train --config=my_corpus.py
"""
'''
_CONFIGS = {"noxi": "noxi", "mpiigroupinteraction": "mpiigi"}


def write_page(root: Path) -> str:
    """Looks at a folder and writes the configuration that reads it, as Python.

    Args:
      root: resolved folder.

    Raises:
      CorpusError: if nothing below it can be read.
      OSError: if it cannot be read.
    """
    found = find_release(root)
    if found is not None:
        return _of_release(root, *found)
    return _of_guess(guess(root))


def _of_guess(found: Guess) -> str:
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


def _of_release(root: Path, name: str, dims: dict[str, int]) -> str:
    """A released corpus needs no layout: its own configuration reads it."""
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
