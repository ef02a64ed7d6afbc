"""DA-Mamba on MPIIGroupInteraction: groups of three and four people.

The release has no training split. So a model that was trained on NoXi is fine-tuned on
five of the six labelled recordings, and validated on the sixth, fold by fold:

    python -m damamba_jax.train --config=configs/mpiigi.py \
        --config.init_from=runs/noxi --config.data.fold=0 --workdir=runs/mpiigi-fold0

Run this for `fold` 0 to 5. The preset `demo` starts from `configs/noxi.py:demo` and
takes minutes on two cores. Without `--config.data.root=DIR`, the simulated corpus is
used. The published CCC is 0.52 on the test split, which has no public labels.
"""

import ml_collections

from damamba_jax.config.presets import check_preset
from damamba_jax.configs import noxi

LABELLED_RECORDINGS = 6


def get_config(preset: str = "paper") -> ml_collections.ConfigDict:
    """Returns the configuration of a preset: `paper`, `25hz` or `demo`."""
    check_preset(__file__, preset, ("paper", "25hz", "demo"))
    config = noxi.get_config(preset)
    config.name = config.name.replace("noxi", "mpiigi")
    # A group has up to three partners; a model of `noxi.py` has slots for them already.
    config.data.participants = 4
    config.data.train_splits = "mpiigroupinteraction/val"
    config.data.val_split = ""
    # ours: the labelled split is small, so each recording is held out in turn
    config.data.num_folds = LABELLED_RECORDINGS
    config.data.simulated = "mpiigi-demo" if preset == "demo" else "mpiigi"
    config.optim.lr = config.optim.lr / 5  # ours: fine-tuning
    config.train.steps = config.train.steps // 10  # ours
    config.optim.warmup_steps = config.optim.warmup_steps // 10  # ours
    config.train.eval_every = max(1, config.train.steps // 5)
    config.train.save_every = max(1, config.train.steps // 5)
    return config
