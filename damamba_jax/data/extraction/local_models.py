"""Networks of `transformers` out of a local folder; nothing is ever fetched.

Weights are read as safetensors alone: the older `.bin` files are pickles, which can run
any code. Code that lies in the folder is not run either.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from damamba_jax.data.extraction.needs import (
    digest_files,
    first_line,
    load_package,
    version_of,
)
from damamba_jax.errors import ConfigError

_EXTRA = "extract-transformers"
# Not used for inference.
_FOR_TRAINING = {"masked_spec_embed"}
# The names that `transformers` gives them; those of a run lie elsewhere.
_NEEDED = "config.json preprocessor_config.json".split()


class LocalModel(NamedTuple):
    """A network that is ready to use.

    Attributes:
      torch: the library.
      network: the model, in evaluation mode on `device`.
      prepare: turns sound or images into its inputs.
      device: where it runs.
      settings: versions, and a digest of the folder.
    """

    torch: Any
    network: Any
    prepare: Any
    device: str
    settings: str


def load_local(
    folder: Path | None,
    *,
    feature: str,
    source: str,
    network: str,
    width: str,
    dim: int,
    preparations: Sequence[str],
) -> LocalModel:
    """Loads a network from a folder that the user has filled.

    Args:
      folder: where it lies; `None` if the user has not said.
      feature: the feature that needs it, which is also the name of the flag.
      source: the name of the repository that holds it, for the error.
      network: the class of the network in `transformers`.
      width: the field of its configuration that holds the columns of its output.
      dim: the columns of the feature.
      preparations: classes in `transformers` that prepare its inputs; the first one
        counts that this version has.

    Raises:
      ConfigError: for missing packages or weights; the message says what to do.
    """
    folder = check_folder(folder, feature=feature, source=source)
    _stay_offline()
    torch = load_package("torch", feature=feature, extra=_EXTRA)
    transformers = load_package("transformers", feature=feature, extra=_EXTRA)
    # It would list all arrays of a checkpoint that holds more than this network.
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    safe = {"local_files_only": True, "trust_remote_code": False}
    try:
        preparation = next(n for n in preparations if hasattr(transformers, n))
        prepare = getattr(transformers, preparation).from_pretrained(folder, **safe)
        model, loaded = getattr(transformers, network).from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, **safe
        )
        columns = getattr(model.config, width)
    except Exception as error:  # files raise whatever their parsers do
        raise ConfigError(
            f"`--model.{feature}`: expected the files of {source}, got {folder}, which "
            f"transformers cannot load: {first_line(error)}"
        ) from error
    # What is missing would be drawn at random.
    absent = set(loaded["missing_keys"]) - _FOR_TRAINING
    if absent or columns != dim:
        raise ConfigError(
            f"`--model.{feature}`: expected the weights of {source}, of {dim} columns, "
            f"got those of another network in {folder}: {columns} columns, "
            f"{len(absent)} arrays missing."
        )
    settings = ", ".join(
        [version_of("transformers"), version_of("torch"), _digest(folder)]
    )
    return LocalModel(torch, model.eval().to(device), prepare, device, settings)


def check_folder(folder: Path | None, *, feature: str, source: str) -> Path:
    """Checks that a folder holds a configuration and weights as safetensors.

    Raises:
      ConfigError: if anything is missing.
    """
    asked = (
        f"`--model.{feature}`: expected a folder with {', '.join(_NEEDED)} and "
        f"model.safetensors of {source}"
    )
    advice = (
        f"Nothing is fetched by itself: get them from https://huggingface.co/{source}"
    )
    if folder is None:
        raise ConfigError(f"{asked}, got nothing. {advice}")
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    missing = [name for name in _NEEDED if name not in names]
    if not any(name.endswith(".safetensors") for name in names):
        missing.append("model.safetensors")
    if missing:
        pickled = any(name.endswith(".bin") for name in names)
        more = (
            " A .bin is a pickle, which is not opened: convert it." if pickled else ""
        )
        raise ConfigError(
            f"{asked}, got {folder} without {', '.join(missing)}. {advice}{more}"
        )
    return folder


def _stay_offline() -> None:
    """Keeps `transformers` from the network; called before it is imported."""
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
    # A library of this name would fetch code. In a checkout the name is also that of a
    # folder, which `transformers` would take for the library.
    sys.modules["kernels"] = None  # pyright: ignore[reportArgumentType]  # hides it


def _digest(folder: Path) -> str:
    weights = sorted(folder.glob("*.safetensors"))
    return digest_files([*(folder / name for name in _NEEDED), *weights])
