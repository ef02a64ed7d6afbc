"""Columns of well-known programs, so that a configuration names the program alone."""

import dataclasses

from damamba_jax.config.layout import TableConfig

PRESETS: dict[str, dict] = {
    # OpenFace 2.2, one row per frame (`-fdir` writes them without time stamps).
    "openface": {
        "columns": ("gaze_*", "pose_*", "AU*_r", "AU*_c"),
        "time": "timestamp",
        "valid": ("success==1", "confidence>=0.7"),
    },
    # OpenSMILE, frames of low-level descriptors (`-lldcsvoutput`, or its Python
    # package's `Smile.process_file(...).to_csv()`).
    "opensmile": {
        "columns": ("*_sma*", "*_de*", "F0*", "pcm_*", "mfcc*"),
        "time": "frameTime",
    },
}


def with_preset(table: TableConfig) -> TableConfig:
    """Fills the fields that a configuration leaves empty with those of its preset."""
    known = PRESETS.get(table.preset, {})
    empty = {name: value for name, value in known.items() if not getattr(table, name)}
    return dataclasses.replace(table, **empty)
