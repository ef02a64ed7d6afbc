"""Updates of stored configurations of older versions to the present fields.

Every run stores its configuration as `config.json`, which must be readable for as long
as there are checkpoints. So a commit that adds, moves or removes a field also adds an
entry at the end of `ENTRIES`:

- For a new field, the entry is `Added("section.field", value)`. `value` is what the
  code did before the field existed, whatever value `configs/` gives the field now.
- For a field that is moved or removed, the entry is a function that changes the nested
  dict in place, and does nothing to a dict that is already up to date.

Stored configurations carry no version: an entry sees from the fields what it has to
change. Entries run in the order in which the fields changed. The configurations in
`tests/config/stored/` were written by older versions; add one if an entry moves values.
"""

import copy
from collections.abc import Callable
from typing import Any

Tree = dict[str, Any]


def migrate(tree: Any) -> Any:
    """Returns a copy of a stored configuration with the present fields.

    Args:
      tree: the stored configuration as nested dicts; it is not changed.
    """
    if not isinstance(tree, dict):
        return tree
    tree = copy.deepcopy(tree)
    for entry in ENTRIES:
        entry(tree)
    return tree


class Added:
    """Gives a new field the value that was in effect before the field existed.

    Args:
      path: dotted path of the field.
      value: value that was in effect before the field existed.
      system: for a field of `model`, the only system that has the field; empty if all
        systems have it.
    """

    def __init__(self, path: str, value: Any, *, system: str = "") -> None:
        self.path, self.value, self.system = path, value, system

    def __call__(self, tree: Tree) -> None:
        """Sets the field, unless it is already there or belongs to another system."""
        *groups, name = self.path.split(".")
        section: Any = tree
        for group in groups:
            section = section.setdefault(group, {})
            if not isinstance(section, dict):
                return  # The conversion that follows reports what is wrong.
        if self.system in ("", section.get("system")):
            section.setdefault(name, self.value)


def one_dataclass_a_system(tree: Tree) -> None:
    """Keeps only the system's own fields.

    Older versions stored the fields of all systems for every system.
    """
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
    """Gives each feature the field `table`; in older versions all were streams."""
    features = tree["data"].get("features") if isinstance(tree["data"], dict) else ()
    items = features.values() if isinstance(features, dict) else features or ()
    for feature in items:
        if isinstance(feature, dict):
            feature.setdefault("table", None)


def context_on_each_side(tree: Tree) -> None:
    """Splits the context of a window into past and future.

    In older versions, a window had as much past as future.
    """
    data = tree["data"]
    window = data.get("window") if isinstance(data, dict) else None
    if not isinstance(window, dict):
        return
    sizes = window.get("window_frames"), window.get("core_frames")
    if not all(isinstance(size, int) for size in sizes):
        return  # The conversion that follows reports what is wrong.
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
    Added("optim.class_balance", 0.5),
    context_on_each_side,
)
