"""Loads networks of `transformers` from a local folder; nothing is ever downloaded.

Weights are read only from safetensors. The older `.bin` files are pickles, which can
run any code. Code in the folder is not run either.
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
# Arrays that are not used for inference.
_FOR_TRAINING = {"masked_spec_embed"}
# Files that a folder must hold, under the names that `transformers` gives them.
_NEEDED = "config.json preprocessor_config.json".split()


class LocalModel(NamedTuple):
    """A network that is ready to use.

    Attributes:
      torch: the library.
      network: the model, in evaluation mode on `device`.
      prepare: turns sound or images into inputs of the network.
      device: the device that the network runs on.
      settings: versions of the libraries, and a digest of the folder.
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
      folder: folder of the network; `None` if the user has not named one.
      feature: the feature that needs the network, which is also the name of the flag.
      source: name of the repository that holds the network, for the error.
      network: name of the network's class in `transformers`.
      width: the field of the network's configuration with the number of its outputs.
      dim: number of columns of the feature.
      preparations: names of classes in `transformers` that prepare the inputs. The
        first class that exists in the installed version is used.

    Raises:
      ConfigError: for missing packages or weights; the message says what to do.
    """
    folder = check_folder(folder, feature=feature, source=source)
    _stay_offline()
    torch = load_package("torch", feature=feature, extra=_EXTRA)
    transformers = load_package("transformers", feature=feature, extra=_EXTRA)
    # Otherwise `transformers` lists all arrays that a checkpoint holds in addition.
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
    except Exception as error:  # The parsers of damaged files raise any error.
        raise ConfigError(
            f"`--model.{feature}`: expected the files of {source}, got {folder}, which "
            f"transformers cannot load: {first_line(error)}"
        ) from error
    # Missing arrays would be drawn at random.
    absent = set(loaded["missing_keys"]) - _FOR_TRAINING
    if absent or columns != dim:
        raise ConfigError(
            f"`--model.{feature}`: expected the weights of {source}, with {dim} "
            f"columns, got those of another network in {folder}, with {columns} "
            f"columns and without {len(absent)} of the arrays."
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
        "This program downloads nothing; get the files from "
        f"https://huggingface.co/{source}"
    )
    if folder is None:
        raise ConfigError(f"{asked}, got nothing. {advice}")
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    missing = [name for name in _NEEDED if name not in names]
    if not any(name.endswith(".safetensors") for name in names):
        missing.append("model.safetensors")
    if missing:
        pickled = any(name.endswith(".bin") for name in names)
        more = " A .bin file is a pickle, which is not opened; convert it."
        more = more if pickled else ""
        raise ConfigError(
            f"{asked}, got {folder} without {', '.join(missing)}. {advice}{more}"
        )
    return folder


def _stay_offline() -> None:
    """Keeps `transformers` off the network; it must be called before the import."""
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
    # The library `kernels` would download code. In a checkout there is also a folder of
    # this name, which `transformers` would take for the library.
    sys.modules["kernels"] = None  # pyright: ignore[reportArgumentType]  # hides it


def _digest(folder: Path) -> str:
    weights = sorted(folder.glob("*.safetensors"))
    return digest_files([*(folder / name for name in _NEEDED), *weights])
