"""The baseline of the MultiMediate challenge: a network that sees one frame.

    python -m damamba_jax.train --config=configs/baseline.py           # all features
    python -m damamba_jax.train --config=configs/baseline.py:egemaps   # one of them
    python -m damamba_jax.train --config=configs/baseline.py:small     # 2-core machine

The presets are `all`, one for each feature set (`egemaps`, `w2vbert2`, `clip`,
`openface2`, `openpose`), and `small`. The layers, the dropout and the learning rate of
a feature set are those that the organisers' search chose on NoXi
(github.com/hcmlab/MultiMediate_26). `all` is ours, and takes the network of eGeMAPS.
Loss, standardisation and batches are those of this project, so that systems differ only
in the model: see `models/baseline.py`.

Published by the organisers in 2026, CCC on NoXi Base, NoXi-Add and
MPIIGroupInteraction:

    egemaps   0.5535  0.4909  0.4539        w2vbert2  0.5986  0.4710  0.0540
    openpose  0.4801  0.4272  0.0854        clip      0.4350  0.3652 -0.0099
    openface2 0.1070  0.1948  0.1159

Nobody has reproduced them here.

Cost: a step of `all` takes 1.1 s of processor time, and all 5,000 steps take an hour or
two on two cores. `small` takes minutes there, nearly all of them for compilation and
evaluation.

`paper:` marks what the organisers published; `ours:` marks our choice.
"""

import ml_collections

from damamba_jax.config.presets import check_preset
from damamba_jax.configs import noxi

# paper: (widths of the hidden layers, dropout, learning rate) of each feature set
CHOSEN = {
    "egemaps": ((360, 384, 128), 0.35, 1e-3),
    "w2vbert2": ((440, 144, 352), 0.15, 1e-3),
    "clip": ((80, 272, 24), 0.4, 1e-4),
    "openface2": ((408, 184, 168), 0.4, 1e-3),
    "openpose": ((360, 384, 128), 0.35, 1e-3),
}


def get_config(preset: str = "all") -> ml_collections.ConfigDict:
    """Returns the configuration of a preset: `all`, a feature set, or `small`."""
    presets = ("all", *CHOSEN, "small")
    check_preset(__file__, preset, presets)
    config = _baseline(noxi.get_config("demo" if preset == "small" else "25hz"))
    config.name = f"baseline-{preset}"
    if preset == "small":
        config.model.hidden_dims = (32, 32, 16)
        config.model.dropout = 0.0
        return config
    hidden_dims, dropout, lr = CHOSEN.get(preset, CHOSEN["egemaps"])
    if preset in CHOSEN:
        config.data.features = preset
    config.model.hidden_dims = hidden_dims  # paper; `all` takes those of eGeMAPS
    config.model.dropout = dropout  # paper; `all` takes that of eGeMAPS
    config.optim.lr = lr  # paper; `all` takes that of eGeMAPS
    config.optim.weight_decay = 0.0  # paper: Adam
    config.train.steps = 5_000  # ours
    return config


def _baseline(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Replaces DA-Mamba by the network, and removes fields that it does not read."""
    config.data.participants = 1  # paper: the model does not see the partner
    # ours: a model that sees one frame needs no context, so every frame is scored
    config.data.window.past_frames = 0
    config.data.window.future_frames = 0
    config.model = ml_collections.ConfigDict()
    config.model.system = "baseline"  # paper
    config.model.max_participants = 4  # ours: as for the other systems
    config.model.compute_dtype = "float32"  # paper
    config.optim.infonce_weight = 0.0  # paper: there is nothing to align in one frame
    return config
