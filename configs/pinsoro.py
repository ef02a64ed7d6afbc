"""DA-Mamba on PInSoRo: classes of engagement of children at play, frame by frame.

    damamba train --config=configs/pinsoro.py:task   --config.data.root=DIR
    damamba train --config=configs/pinsoro.py:social --config.data.root=DIR

learn the two annotations, each with a model of its own, from pairs of children and from
pairs of a child and a robot. The robot is seen as the partner and is not scored. Frames
on which raters disagree, empty lines of the files, neither train nor count. The best
checkpoint is that of `pinsoro/val-cc`; `evaluate` scores `pinsoro/val-cr` as well. No
simulated corpus stands in for this one. Published by others, on the test sets: kappa of
at most 0.25 for each annotation and kind of pairs.
"""

import ml_collections

from damamba_jax.config.presets import check_preset
from damamba_jax.configs import noxi
from damamba_jax.schema.release import ANNOTATIONS

LABEL_HZ = 30.0


def get_config(preset: str = "task") -> ml_collections.ConfigDict:
    """Returns the configuration of a preset: `task` or `social`."""
    check_preset(__file__, preset, ("task", "social"))
    config = noxi.get_config("25hz")
    config.name = f"pinsoro-{preset}"
    for feature in config.features.values():
        if feature.group == "visual":
            feature.rate = LABEL_HZ
    config.data.window.frame_hz = LABEL_HZ
    config.data.train_splits = "pinsoro/train-cc,pinsoro/train-cr"
    config.data.val_split = "pinsoro/val-cc"
    config.data.simulated = ""
    config.data.classes = ",".join(ANNOTATIONS[f"{preset}_engagement"])
    config.optim.loss = "cross-entropy"
    config.train.steps = 5_000  # ours: 32 sessions for training, fewer than NoXi's 38
    return config
