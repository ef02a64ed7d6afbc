"""DA-Mamba on NoXi, as published (arXiv 2509.17711), and three lighter presets.

    python -m damamba_jax.train --config=configs/noxi.py            # the paper
    python -m damamba_jax.train --config=configs/noxi.py:25hz       # native rate
    python -m damamba_jax.train --config=configs/noxi.py:demo       # 2-core machine
    python -m damamba_jax.train --config=configs/noxi.py:tiny       # check in seconds

Published CCCs: 0.77 on NoXi Base, 0.70 on NoXi-Add, 0.52 on MPIIGroupInteraction. The
code behind these numbers is not public. They are reproduced only when `evaluate` prints
them on the licensed corpora. Without `--config.data.root=DIR`, the simulated corpus is
used, and all files that a run writes are marked as simulated.

`paper` after a value marks what the paper states; `ours` marks our choice, where the
paper says nothing. `python -m damamba_jax.config show configs/noxi.py` prints all
values with their meaning. Every other configuration is this one with some values
changed.
"""

import dataclasses

import ml_collections

from damamba_jax.config.presets import check_preset
from damamba_jax.schema.extracted import EXTRACTED_FEATURES
from damamba_jax.schema.release import DEMO_DIMS, RELEASED_FEATURES


def get_config(preset: str = "paper") -> ml_collections.ConfigDict:
    """Returns the configuration of a preset: `paper`, `25hz`, `demo` or `tiny`."""
    presets = {"paper": _paper, "25hz": _native_rate, "demo": _demo, "tiny": _tiny}
    check_preset(__file__, preset, presets)
    return presets[preset]()


def _paper() -> ml_collections.ConfigDict:
    """Returns the paper's configuration, which sets every value.

    The other presets change some of the values.
    """
    config = ml_collections.ConfigDict()
    config.name = "noxi"  # ours
    config.seed = 0  # ours
    config.init_from = ""  # ours
    config.features = feature_table()
    _set_data(config)
    _set_model(config)
    _set_optim(config)
    _set_train(config)
    return config


def _set_data(config: ml_collections.ConfigDict) -> None:
    """Sets the recordings, and how they are read."""
    config.data = ml_collections.ConfigDict()
    config.data.root = ""  # ours
    config.data.labels_root = ""  # ours
    config.data.layout = None  # ours
    # The paper names Ege, W2v, CLIP, OF and OF2; these are the released streams.
    config.data.features = "egemaps,w2vbert2,clip,openface2,openpose"  # paper
    config.data.participants = 2  # paper
    config.data.eval_participants = 0  # ours: as in training
    config.data.train_splits = "noxi/train"  # paper
    config.data.val_split = "noxi/val"  # ours
    config.data.eval_splits = ""  # ours: every labelled split that is not trained on
    config.data.num_folds = 0  # ours
    config.data.fold = 0  # ours
    config.data.test_sessions = ""  # ours
    config.data.simulated = "noxi"  # ours
    config.data.cache_dir = "runs/cache"  # ours
    config.data.num_threads = 2  # ours
    config.data.normalization = "training"  # ours
    config.data.label_range = (0.0, 1.0)  # ours: as released
    config.data.label_delay_seconds = 0.0  # ours
    config.data.label_unit = "frame"  # paper
    config.data.classes = ""  # paper
    config.data.classes_ordered = False  # ours
    config.data.exclude = ""  # ours
    config.data.on_error = "raise"  # ours
    config.data.window = ml_collections.ConfigDict()
    config.data.window.frame_hz = 100.0  # paper
    config.data.window.past_frames = 32  # paper
    config.data.window.core_frames = 32  # paper
    config.data.window.future_frames = 32  # paper
    config.data.window.stride_frames = 32  # paper


def _set_model(config: ml_collections.ConfigDict) -> None:
    """Sets the architecture."""
    config.model = ml_collections.ConfigDict()
    # Other systems have other fields; see configs/dat.py and configs/baseline.py.
    config.model.system = "damamba"  # paper
    config.model.dim = 256  # ours: reaches the published 28.7 M parameters
    config.model.feature_blocks = 1  # ours
    config.model.audio_blocks = 2  # ours
    config.model.visual_blocks = 2  # ours
    config.model.context_blocks = 1  # ours
    config.model.dialogue_blocks = 2  # ours
    config.model.state_dim = 16  # ours: Mamba's own default
    config.model.expand = 2  # ours: Mamba's own default
    config.model.conv_width = 4  # ours: Mamba's own default
    config.model.dt_rank_divisor = 16  # ours: Mamba's own default
    config.model.chunk_frames = 16  # ours
    config.model.num_heads = 4  # ours
    config.model.dialogue_dim = 0  # ours: the dialogue encoder is as wide as `dim`
    config.model.max_participants = 4  # ours: the largest released group
    config.model.encoder = "mamba"  # paper
    config.model.direction = "bidirectional"  # ours: it uses the future context
    config.model.partner_order = "concatenated"  # paper
    config.model.modality_fusion = True  # paper
    config.model.partner_fusion = True  # paper
    config.model.dropout = 0.1  # ours
    config.model.remat = True  # ours: without it a step takes 12 GB on a GPU
    config.model.compute_dtype = "float32"  # ours
    config.model.scan = ""  # ours: the best implementation for the device
    config.model.ssm = "mamba1"  # ours
    config.model.head_dim = 64  # ours: Mamba-2's own default
    config.model.ssd_chunk = 32  # ours: it changes only the speed
    config.model.modality_dropout = 0.0  # ours
    config.model.feature_dropout = 0.0  # ours


def _set_optim(config: ml_collections.ConfigDict) -> None:
    """Sets optimizer and loss."""
    config.optim = ml_collections.ConfigDict()
    config.optim.lr = 5e-5  # paper
    config.optim.warmup_steps = 500  # paper
    config.optim.final_lr_fraction = 0.0  # ours
    config.optim.clip_norm = 5.0  # paper
    config.optim.weight_decay = 0.01  # ours
    config.optim.b1 = 0.9  # ours
    config.optim.b2 = 0.999  # ours
    config.optim.ema_decay = 0.999  # paper; its start, (1 + t) / (10 + t), is ours
    config.optim.ccc_weight = 1.0  # paper
    config.optim.infonce_weight = 0.4  # paper
    config.optim.infonce_temperature = 0.07  # ours
    config.optim.loss = "ccc"  # ours: over the batch
    config.optim.class_balance = 0.5  # ours: between accuracy and rare classes
    config.optim.center_sigma = 0.0  # ours: all core frames have the same weight
    config.optim.context_weight = 0.0  # ours: the loss is over the core only


def _set_train(config: ml_collections.ConfigDict) -> None:
    """Sets the length and the outputs of a run, and the smoothing of predictions."""
    config.train = ml_collections.ConfigDict()
    config.train.steps = 20_000  # ours: about 11 passes over NoXi's training split
    config.train.batch_size = 128  # paper
    config.train.eval_every = 400  # ours
    config.train.save_every = 500  # ours
    config.train.eval_batches = 100  # ours
    config.train.log_every = 50  # ours
    config.train.keep_checkpoints = 2  # ours
    config.train.max_bad_steps = 20  # ours
    config.train.tensorboard = False  # ours

    config.smoothing = ml_collections.ConfigDict()
    config.smoothing.kind = "none"  # ours
    config.smoothing.seconds = 0.0  # ours


def _native_rate() -> ml_collections.ConfigDict:
    """Returns the paper's model at 25 Hz.

    Windows have the same number of frames, and so four times the context in time.
    """
    config = _paper()
    config.name = "noxi-25hz"
    config.data.window.frame_hz = 25.0
    return config


def _demo() -> ml_collections.ConfigDict:
    """Returns a model that trains in minutes on two cores, on the simulated corpus.

    It deviates from the paper in frame rate, widths, dropout, optimizer and batch: at
    100 Hz with batches of 128, a step of even a small model takes seconds on two cores.
    """
    config = _native_rate()
    config.name = "noxi-demo"
    config.data.simulated = "demo"
    for name, dim in DEMO_DIMS.items():
        config.features[name].dim = dim
    config.model.dim = 32
    config.model.audio_blocks = 1
    config.model.visual_blocks = 1
    config.model.dialogue_blocks = 1
    config.model.state_dim = 8
    config.model.num_heads = 2
    config.model.head_dim = 16
    config.model.dropout = 0.0
    config.model.remat = False
    config.optim.lr = 5e-3  # at twice this rate, some Transformers never learn
    config.optim.b2 = 0.95  # 0.999 would average over 1,000 steps
    config.optim.warmup_steps = 20
    config.optim.ema_decay = 0.98
    config.train.steps = 160
    config.train.batch_size = 32
    config.train.eval_every = 80
    config.train.save_every = 80
    config.train.eval_batches = 40
    config.train.log_every = 10
    return config


def _tiny() -> ml_collections.ConfigDict:
    """Returns a model that learns nothing, but goes through a whole run in five steps.

    Tests and checks of reliability use it, because its model compiles in seconds.
    """
    config = _demo()
    config.name = "noxi-tiny"
    config.data.simulated = "tiny"
    config.data.features = "egemaps,clip"
    config.data.window.past_frames = 8
    config.data.window.core_frames = 16
    config.data.window.future_frames = 8
    config.data.window.stride_frames = 16
    config.model.dim = 8
    config.model.state_dim = 4
    config.model.feature_blocks = 0
    config.model.audio_blocks = 0
    config.model.visual_blocks = 1
    config.model.context_blocks = 0
    config.model.dialogue_blocks = 0
    config.model.direction = "forward"
    config.model.dropout = 0.1
    config.optim.warmup_steps = 2
    config.train.steps = 5
    config.train.batch_size = 4
    config.train.eval_every = 2
    config.train.save_every = 3
    config.train.eval_batches = 2
    config.train.log_every = 1
    return config


def feature_table() -> ml_collections.ConfigDict:
    """Returns the table of streams by name: the released and the extracted ones.

    For other streams, change entries or add some.
    """
    table = ml_collections.ConfigDict()
    for name, feature in {**RELEASED_FEATURES, **EXTRACTED_FEATURES}.items():
        fields = dataclasses.asdict(feature)
        del fields["name"]
        table[name] = ml_collections.ConfigDict(fields)
    return table
