"""Checks of values in different sections that depend on each other."""

from collections.abc import Mapping

from damamba_jax.config.systems import DAMambaConfig, SystemConfig
from damamba_jax.config.window import WindowConfig
from damamba_jax.errors import ConfigError


def check_people(model: SystemConfig, widths: Mapping[str, int]) -> None:
    """Checks that the system can read as many people as a batch shows.

    Args:
      model: settings of the system.
      widths: numbers of people in a batch, by the path of the field that sets them; 0
        means that the field is not used.

    Raises:
      ConfigError: if the number of people is too large or too small for the system.
    """
    for path, people in widths.items():
        if people > model.max_participants:
            raise ConfigError(
                f"`{path}`: expected at most `model.max_participants` = "
                f"{model.max_participants}, got {people}."
            )
        if model.system == "baseline" and people > 1:
            raise ConfigError(
                f"`{path}`: the baseline sees the target alone; expected 1, got "
                f"{people}."
            )
        if model.system == "dat" and people == 1:
            raise ConfigError(
                f"`{path}`: DAT's target attends to its partners, even to absent ones; "
                f"expected 2 or more, got 1."
            )


def check_label_unit(unit: str, loss: str) -> None:
    """Checks that the loss belongs to the unit of the labels.

    Args:
      unit: value of `data.label_unit`.
      loss: value of `optim.loss`.

    Raises:
      ConfigError: for a loss of frames with labels of turns, or the other way round.
    """
    if (unit == "turn") != loss.endswith("-mean"):
        of_frames = "'ccc', 'ccc-window' or 'cross-entropy'"
        of_turns = "'ccc-mean' or 'cross-entropy-mean'"
        expected = of_turns if unit == "turn" else of_frames
        raise ConfigError(
            f"`optim.loss`: expected {expected} with `data.label_unit` = {unit!r}, got "
            f"{loss!r}."
        )


def check_classes(
    classes: tuple[str, ...],
    *,
    label_range: tuple[float, ...],
    loss: str,
) -> None:
    """Checks the names of the classes, and that the loss is one for classes.

    Args:
      classes: value of `data.classes`.
      label_range: value of `data.label_range`.
      loss: value of `optim.loss`.

    Raises:
      ConfigError: for fewer than two names, for a name that occurs twice, and for a
        loss or a range that does not go with the labels.
    """
    if bool(classes) != loss.startswith("cross-entropy"):
        expected = "'cross-entropy' or 'cross-entropy-mean'" if classes else "a CCC"
        raise ConfigError(
            f"`optim.loss`: expected {expected} with `data.classes` = "
            f"{','.join(classes)!r}, got {loss!r}."
        )
    if not classes:
        return
    if len({name.casefold() for name in classes}) < max(len(classes), 2):
        raise ConfigError(
            f"`data.classes`: expected two names or more, each once, got {classes}."
        )
    if label_range != (0.0, 1.0):
        raise ConfigError(
            f"`data.label_range`: classes have no range; expected (0.0, 1.0), got "
            f"{label_range}."
        )


def check_alignment(model: SystemConfig, infonce_weight: float) -> None:
    """Checks that the system has the embeddings that the alignment loss compares.

    Args:
      model: settings of the system.
      infonce_weight: value of `optim.infonce_weight`.

    Raises:
      ConfigError: if the loss has a weight and the system has no embeddings.
    """
    if infonce_weight and model.system != "damamba":
        raise ConfigError(
            f"`optim.infonce_weight`: {model.system} has no embeddings to align; "
            f"expected 0, got {infonce_weight}."
        )


def check_causal(
    model: SystemConfig,
    *,
    people: int,
    normalization: str,
    smoothing: str,
    hides_future: bool,
) -> None:
    """Checks that no setting reads the future if the scores must not depend on it.

    A causal model must not see the future, and neither must a window that ends with
    its core.

    Args:
      model: settings of the system.
      people: the largest number of people in a batch.
      normalization: value of `data.normalization`.
      smoothing: value of `smoothing.kind`.
      hides_future: value of `data.window.hides_future`.

    Raises:
      ConfigError: if a setting would read a later frame.
    """
    if not (model.causal or hides_future):
        return
    blind = "a forward model" if model.causal else "a window without `future_frames`"
    if normalization == "session":
        raise ConfigError(
            "`data.normalization`: 'session' reads the whole recording, whose future "
            f"{blind} does not see; set it to 'training'."
        )
    if smoothing == "gaussian":
        raise ConfigError(
            f"`smoothing.kind`: 'gaussian' reads the future, which {blind} does not "
            "see; set it to 'exponential'."
        )
    if not model.causal:
        return
    order = model.partner_order if isinstance(model, DAMambaConfig) else ""
    if people > 2 and order == "concatenated":
        raise ConfigError(
            "`model.partner_order`: a forward model of more than one partner would "
            "see the first partner's future; set it to 'interleaved'."
        )


def may_see_sessions(model: SystemConfig, window: WindowConfig) -> bool:
    """Says whether the protocol `"long"` is allowed, which shows whole sessions.

    A window without a future becomes one with a future then, unless the model is blind
    to the future by itself.

    Args:
      model: settings of the system.
      window: windows that the model was trained on.
    """
    return model.causal or not window.hides_future


def check_protocol(model: SystemConfig, window: WindowConfig, protocol: str) -> None:
    """Checks that a window without a future is not made one with the whole session.

    Args:
      model: settings of the system.
      window: windows that the model was trained on.
      protocol: how sessions are predicted, `"stitched"` or `"long"`.

    Raises:
      ConfigError: if a pass over the session would show the future to the model.
    """
    if protocol == "long" and not may_see_sessions(model, window):
        raise ConfigError(
            "`--protocol`: 'long' shows the whole session, whose future a window "
            "without `future_frames` does not see; use 'stitched'."
        )
