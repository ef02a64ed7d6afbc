"""DA-Mamba on NoXi-J: pairs who speak Japanese or Chinese.

    damamba train --config=configs/noxi_j.py --config.data.root=DIR \
        --config.init_from=runs/noxi

The run starts from a model of `configs/noxi.py`, with a fifth of its learning rate.
Without `init_from`, it learns only from NoXi-J's 31 training sessions. If `DIR` holds
NoXi too, `--config.data.train_splits=noxi/train,noxi-j/train` learns from both at once.
There is no simulated corpus for this configuration. Validation has 10 sessions; the
test split has no public labels.
"""

import ml_collections

from damamba_jax.config.presets import check_preset
from damamba_jax.configs import noxi


def get_config(preset: str = "25hz") -> ml_collections.ConfigDict:
    """Returns the configuration of a preset: `paper` (100 Hz) or `25hz`."""
    check_preset(__file__, preset, ("paper", "25hz"))
    config = noxi.get_config(preset)
    config.name = config.name.replace("noxi", "noxi-j")
    config.data.train_splits = "noxi-j/train"
    config.data.val_split = "noxi-j/val"
    config.data.simulated = ""
    config.optim.lr = config.optim.lr / 5  # ours: fine-tuning
    config.optim.warmup_steps = config.optim.warmup_steps // 5  # ours
    config.train.steps = config.train.steps // 5  # ours: a fifth
    return config
