"""DA-Mamba on PInSoRo: classes of engagement of playing children, frame by frame.

    damamba train --config=configs/pinsoro.py:task   --config.data.root=DIR
    damamba train --config=configs/pinsoro.py:social --config.data.root=DIR

The two commands learn the two annotations, each with a model of its own. They learn
from pairs of children, and from pairs of a child and a robot. The model sees the robot
as a partner, and does not score it. Frames on which raters disagree are empty lines in
the files; they are used neither for training nor for scores. The best checkpoint is
chosen on `pinsoro/val-cc`; `evaluate` scores `pinsoro/val-cr` as well. There is no
simulated corpus for this configuration. On the test sets, others have published kappas
of at most 0.25 for each annotation and each kind of pair.
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
    config.train.steps = 5_000  # ours: 32 training sessions are fewer than NoXi's 38
    return config
