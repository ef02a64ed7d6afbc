"""Stored configurations of older versions, brought up to the present fields.

Every run keeps its configuration as `config.json`, and must be readable for as long as
there are checkpoints. So whoever adds, moves or removes a field adds an entry at the
end of `ENTRIES`, in the same commit:

- for a field that is new, `Added("section.field", value)`, where `value` is what the
  code did before the field existed, whatever value `configs/` gives it now;
- for a field that is moved or removed, a function that changes the nested dict in
  place, and does nothing to a dict that is up to date already.

Stored configurations carry no version: an entry recognises by its fields what it has to
change. Entries run in the order in which the fields changed. The configurations of
`tests/config/stored/` were written by older versions; add one where an entry moves
values about.
"""

import copy
from collections.abc import Callable
from typing import Any

Tree = dict[str, Any]


def migrate(tree: Any) -> Any:
    """Returns a stored configuration with the present fields; the given one stays."""
    if not isinstance(tree, dict):
        return tree
    tree = copy.deepcopy(tree)
    for entry in ENTRIES:
        entry(tree)
    return tree


class Added:
    """Gives a field that was added the value that was in effect before.

    Args:
      path: dotted path of the field.
      value: value in effect before the field existed.
      system: for a field of `model`, the only system that has it; empty if all do.
    """

    def __init__(self, path: str, value: Any, *, system: str = "") -> None:
        self.path, self.value, self.system = path, value, system

    def __call__(self, tree: Tree) -> None:
        """Sets the field, unless it is there or belongs to another system."""
        *groups, name = self.path.split(".")
        section: Any = tree
        for group in groups:
            section = section.setdefault(group, {})
            if not isinstance(section, dict):
                return  # The conversion that follows says what is wrong.
        if self.system in ("", section.get("system")):
            section.setdefault(name, self.value)


def one_dataclass_a_system(tree: Tree) -> None:
    """Leaves each system its own fields; once all systems had those of all others."""
    model = tree["model"]
    if not isinstance(model, dict):
        return
    nested = {name: model.pop(name, None) for name in ("dat", "baseline")}
    own = nested.get(model["system"])
    if own is None:
        return
    shared = ["system", "max_participants", "dropout", "compute_dtype"]
    if model["system"] == "dat":
        shared.append("remat")
    tree["model"] = {n: model[n] for n in shared if n in model} | own


def features_may_be_tables(tree: Tree) -> None:
    """Gives each feature the field `table`; once all of them were streams."""
    features = tree["data"].get("features") if isinstance(tree["data"], dict) else ()
    items = features.values() if isinstance(features, dict) else features or ()
    for feature in items:
        if isinstance(feature, dict):
            feature.setdefault("table", None)


def context_on_each_side(tree: Tree) -> None:
    """Tells past from future; once a window had as much of one as of the other."""
    data = tree["data"]
    window = data.get("window") if isinstance(data, dict) else None
    if not isinstance(window, dict):
        return
    sizes = window.get("window_frames"), window.get("core_frames")
    if not all(isinstance(size, int) for size in sizes):
        return  # The conversion that follows says what is wrong.
    context = (window.pop("window_frames") - window["core_frames"]) // 2
    window |= {"past_frames": context, "future_frames": context}


ENTRIES: tuple[Callable[[Tree], None], ...] = (
    Added("model.system", "damamba"),
    Added("data.normalization", "training"),
    Added("model.ssm", "mamba1", system="damamba"),
    Added("model.head_dim", 64, system="damamba"),
    Added("model.ssd_chunk", 32, system="damamba"),
    Added("model.modality_dropout", 0.0, system="damamba"),
    Added("model.feature_dropout", 0.0, system="damamba"),
    Added("optim.loss", "ccc"),
    Added("optim.center_sigma", 0.0),
    Added("optim.context_weight", 0.0),
    Added("smoothing.kind", "none"),
    Added("smoothing.seconds", 0.0),
    Added("data.eval_participants", 0),
    one_dataclass_a_system,
    Added("data.label_range", [0.0, 1.0]),
    Added("data.label_delay_seconds", 0.0),
    features_may_be_tables,
    Added("data.label_unit", "frame"),
    Added("data.test_sessions", []),
    Added("data.exclude", []),
    Added("data.on_error", "raise"),
    Added("data.classes", []),
    Added("data.classes_ordered", False),
    Added("optim.class_balance", 1.0),
    context_on_each_side,
)
