"""The ablation of DA-Mamba, row by row and seed by seed (arXiv 2509.17711).

    python -m damamba_jax.ablate --config=configs/ablation.py          # a GPU, long
    python -m damamba_jax.ablate --config=configs/ablation.py:small    # 2-core machine

This is the full model; `ablate` sets the switches of the other rows (Transformer
encoder, without modality fusion, without partner fusion, without both) and gives the
width that they lose to their dialogue encoder, so that parameters agree within 2 %.

Published, on NoXi Base / NoXi-Add / MPIIGI / Global: full model 0.77 / 0.70 / 0.52 /
0.66, without modality fusion 0.75 / 0.66 / 0.48 / 0.63, without partner fusion 0.74 /
0.66 / 0.51 / 0.64, without both 0.68 / 0.65 / 0.45 / 0.59, Transformer 0.75 / 0.64 /
0.49 / 0.63. Without `--config.data.root=DIR` rows are trained and scored on the
simulated corpus, where the oracle says what each part can be worth in one window.

`paper` is the paper's model and recipe, five rows of three seeds with 20,000 steps
each: days on one GPU, and 9 GB of drawn corpus (`--rows` spreads it over several
machines). Nobody has run it yet. `small` is the demo's model.
"""

import ml_collections

from damamba_jax.configs import noxi


def get_config(preset: str = "paper") -> ml_collections.ConfigDict:
    """Returns the configuration of a preset: `paper` or `small`."""
    presets = {"paper": _paper, "small": _small}
    if preset not in presets:
        raise ValueError(
            f"`--config=configs/ablation.py:{preset}`: unknown preset; expected one of "
            f"{', '.join(presets)}."
        )
    return presets[preset]()


def _paper() -> ml_collections.ConfigDict:
    config = noxi.get_config("paper")
    config.name = "ablation"
    config.data.simulated = "ablation-noxi"
    # ours: pairs are trained on; groups are shown whole.
    config.data.eval_participants = config.model.max_participants
    return config


def _small() -> ml_collections.ConfigDict:
    """Ten test dyads of ten minutes, 25 Hz, a small model."""
    config = noxi.get_config("demo")
    config.name = "ablation-small"
    config.data.simulated = "ablation"
    config.data.eval_participants = config.model.max_participants
    config.data.eval_splits = (
        "noxi/test-base,noxi/test-additional,mpiigroupinteraction/test"
    )
    # One validation, at the end: the time goes into training.
    config.train.eval_every = config.train.steps
    config.train.save_every = config.train.steps
    config.train.eval_batches = 10
    return config
