"""Checks of the sections that say where files lie and how tables are read."""

import pytest

from damamba_jax.config.layout import LabelConfig, TableConfig, TurnsConfig
from damamba_jax.config.tree import from_config_dict
from damamba_jax.configs import noxi
from damamba_jax.errors import ConfigError


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TableConfig(rows=("who",)), "rows`: expected `column=pattern`"),
        (lambda: TableConfig(rows=("={role}",)), "got '={role}'"),
        (lambda: TableConfig(frame_rate=-1.0), "frame_rate`: expected >= 0"),
        (lambda: LabelConfig(time="t", turn="n"), "one of `time`, `start` and `turn`"),
        (lambda: TurnsConfig(files="t", turn="n"), "either `end` or `duration`"),
        (
            lambda: TurnsConfig(files="t", turn="n", end="e", duration="d"),
            "either `end` or `duration`",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_configuration_file_holds_them_as_plain_values():
    config = noxi.get_config("tiny")
    config.data.label_range = (1, 5)
    config.features.clip.table = dict(columns="a,b*", rows="who={role}", hold=True)
    config.data.layout = dict(
        name="mine",
        splits="all",
        roles="ann",
        label_path="{session}.eaf",
        turns=dict(files="t.csv", turn="n", duration="d"),
    )
    data = from_config_dict(config).data
    clip = next(feature for feature in data.features if feature.name == "clip")
    assert clip.table == TableConfig(
        columns=("a", "b*"), rows=("who={role}",), hold=True
    )
    assert data.label_range == (1.0, 5.0) and data.layout is not None
    assert data.layout.label_reading == LabelConfig()
    assert data.layout.turns == TurnsConfig(files="t.csv", turn="n", duration="d")
    for wrong in ((5, 1), (1,), (1, 1)):
        config.data.label_range = wrong
        with pytest.raises(ConfigError, match="`data.label_range`"):
            from_config_dict(config)
    del config.data.label_range
    config.data.label_range = (0, 1)
    config.features.clip.table = dict(preset="openfce")
    with pytest.raises(ConfigError, match="openface"):
        from_config_dict(config)
