"""The ablation of DA-Mamba, row by row and seed by seed (arXiv 2509.17711).

    python -m damamba_jax.study ablation --preset=paper      # GPU, days
    python -m damamba_jax.study ablation --preset=converged  # GPU
    python -m damamba_jax.study ablation --preset=small      # two cores

This is the configuration of the full model. The study sets the switches of the other
rows (Transformer encoder, without modality fusion, without partner fusion, without
both). Rows without a part get a wider dialogue encoder, so that the numbers of
parameters agree within 2 %.

Published CCCs on NoXi Base / NoXi-Add / MPIIGI / Global: full model 0.77 / 0.70 / 0.52
/ 0.66, without modality fusion 0.75 / 0.66 / 0.48 / 0.63, without partner fusion 0.74 /
0.66 / 0.51 / 0.64, without both 0.68 / 0.65 / 0.45 / 0.59, Transformer 0.75 / 0.64 /
0.49 / 0.63. Without `--config.data.root=DIR`, rows are trained and scored on the
simulated corpus. There the oracle predicts the worth of each part in one window.

`paper` has the paper's model and recipe: five rows of three seeds with 20,000 steps
each. It takes days on one GPU, and 9 GB of disk for the simulated corpus; `--rows` can
spread it over several machines. Nobody has run it yet. `converged` trains the demo's
model until it improves no more. `small` takes less than an hour on two cores.
"""

import ml_collections

from damamba_jax.config.presets import check_preset
from damamba_jax.configs import noxi


def get_config(preset: str = "paper") -> ml_collections.ConfigDict:
    """Returns the configuration of a preset: `paper`, `converged` or `small`."""
    presets = {"paper": _paper, "converged": _converged, "small": _small}
    check_preset(__file__, preset, presets)
    config = presets[preset]()
    # ours: the model is trained on pairs; in evaluations it sees whole groups.
    config.data.eval_participants = config.model.max_participants
    return config


def _paper() -> ml_collections.ConfigDict:
    config = noxi.get_config("paper")
    config.name = "ablation"
    config.data.simulated = "ablation-noxi"
    return config


def _converged() -> ml_collections.ConfigDict:
    """Returns the demo's model at 25 Hz, with ten test pairs of ten minutes."""
    config = noxi.get_config("demo")
    config.name = "ablation-converged"
    config.data.simulated = "ablation"
    config.data.eval_splits = (
        "noxi/test-base,noxi/test-additional,mpiigroupinteraction/test"
    )
    _train(config, steps=2000, batch_size=64, warmup_steps=50, ema_decay=0.99)
    return config


def _small() -> ml_collections.ConfigDict:
    """Returns `converged` with one feature of each group and shorter runs.

    All features of a group carry the same cues.
    """
    config = _converged()
    config.name = "ablation-small"
    config.data.features = "w2vbert2,clip"
    config.model.state_dim = 4
    _train(config, steps=350, batch_size=32, warmup_steps=20, ema_decay=0.98)
    return config


def _train(
    config: ml_collections.ConfigDict,
    *,
    steps: int,
    batch_size: int,
    warmup_steps: int,
    ema_decay: float,
) -> None:
    """Sets the length of a run, and one validation of 640 windows at its end."""
    config.optim.warmup_steps = warmup_steps
    config.optim.ema_decay = ema_decay
    config.train.steps = steps
    config.train.batch_size = batch_size
    config.train.eval_every = steps
    config.train.save_every = steps
    config.train.eval_batches = 640 // batch_size
