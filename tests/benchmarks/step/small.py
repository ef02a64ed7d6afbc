"""Flags of a model of a few hundred parameters, for the benchmarks of the step."""

SMALL = (
    "--config=configs/noxi.py:demo",
    "--config.data.features=egemaps",
    "--config.model.dim=4",
    "--config.model.num_heads=1",
    "--config.model.state_dim=2",
    "--config.model.partner_fusion=False",
    # Compiles fastest, and its attention is quadratic: a verdict must notice.
    "--config.model.encoder=transformer",
)
