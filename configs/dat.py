"""DAT (Li et al., MM 2024, arXiv 2410.08470), which DA-Mamba is compared with.

    python -m damamba_jax.train --config=configs/dat.py             # DAT-M, 66.8 M
    python -m damamba_jax.train --config=configs/dat.py:l           # DAT-L, 114 M
    python -m damamba_jax.train --config=configs/dat.py:paper_table # 42.5 M
    python -m damamba_jax.train --config=configs/dat.py:small       # 2-core machine

DAT is a Transformer. `m` and `l` have the sizes of the authors' code (66.79 M and
113.98 M parameters for windows of 96 frames). They also have its recipe as far as our
training loop has settings for it: 25 Hz, learning rate, warm-up, batch, moving average.
Published CCCs: 0.76 on NoXi Base, 0.67 on NoXi-Add, 0.49 on MPIIGroupInteraction; the
code does not say which size reached them. Nobody has reproduced them here.

`paper_table` is for the table of memory against sequence length. DA-Mamba's paper gives
DAT 42.5 M parameters there, a size that neither published variant has. The widths of
the sequences and the depth are DAT's; heads and feed-forward layers are narrower. Frame
rate and recipe are those of `configs/noxi.py`, without the alignment loss. The model
learns a position for each frame: in these three sizes, each frame beyond 96 in a window
adds 12,800 parameters.

Cost: all need a GPU, except `small`. `small` has DAT's shape in small widths. It is for
the simulated corpus, like `configs/noxi.py:demo`, and takes a minute and a half on two
cores.

`paper:` marks what DAT's authors state or published; `ours:` marks our choice.
"""

import ml_collections

from damamba_jax.config.presets import check_preset
from damamba_jax.configs import noxi


def get_config(preset: str = "m") -> ml_collections.ConfigDict:
    """Returns the configuration of a preset: `m`, `l`, `paper_table` or `small`."""
    presets = {"m": _medium, "l": _large, "paper_table": _table, "small": _small}
    check_preset(__file__, preset, presets)
    config = presets[preset]()
    config.name = f"dat-{preset}"
    return config


def _medium() -> ml_collections.ConfigDict:
    config = _with_dat(noxi.get_config("25hz"))  # paper: the rate of the labels
    config.optim.warmup_steps = 400  # paper
    config.optim.weight_decay = 0.0  # paper: Adam
    config.optim.ema_decay = 0.99  # paper
    config.train.steps = 18_000  # paper: 40 passes over NoXi's training split
    return config


def _large() -> ml_collections.ConfigDict:
    config = _medium()
    config.model.dropout = 0.3  # paper; 0.2 after the first projection
    config.model.feature_head_dim = 128  # paper
    config.model.group_head_dim = 256  # paper
    config.model.feature_ffn_dim = 1024  # paper
    return config


def _table() -> ml_collections.ConfigDict:
    config = _with_dat(noxi.get_config())
    config.model.group_head_dim = 64  # ours
    config.model.feature_ffn_dim = 256  # ours
    config.model.group_ffn_dim = 640  # ours
    return config


def _small() -> ml_collections.ConfigDict:
    config = _with_dat(noxi.get_config("demo"))
    config.model.dropout = 0.0
    config.model.remat = False
    config.model.dim = 32
    config.model.num_heads = 2
    config.model.feature_head_dim = 16
    config.model.group_head_dim = 32
    config.model.feature_ffn_dim = 32
    config.model.group_ffn_dim = 64
    return config


def _with_dat(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Replaces DA-Mamba by DAT-M, and removes fields that DAT does not read."""
    config.model = ml_collections.ConfigDict()
    config.model.system = "dat"  # paper
    config.model.max_participants = 4  # ours: DAT was published for two people
    config.model.dropout = 0.1  # paper
    config.model.remat = True  # ours, as for DA-Mamba
    config.model.compute_dtype = "float32"  # paper
    config.model.dim = 512  # paper
    config.model.num_heads = 8  # paper
    config.model.feature_head_dim = 64  # paper
    config.model.group_head_dim = 128  # paper
    config.model.feature_ffn_dim = 512  # paper
    config.model.group_ffn_dim = 1024  # paper
    config.model.feature_blocks = 1  # paper
    config.model.group_blocks = 1  # paper
    config.model.partner_blocks = 1  # paper
    config.optim.infonce_weight = 0.0  # paper: no alignment of modalities
    return config
