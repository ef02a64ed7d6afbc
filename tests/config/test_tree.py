"""Configurations: what is refused, in which words, and what every file builds."""

import dataclasses
import importlib
import logging
import re
import shlex
import typing
from pathlib import Path

import pytest

from damamba_jax import train
from damamba_jax.config.layout import LayoutConfig, TableReading
from damamba_jax.config.sections import Config
from damamba_jax.config.systems import SYSTEMS, SystemConfig
from damamba_jax.config.tree import (
    check_field,
    differences,
    from_config_dict,
    from_json,
    from_tree,
    section_fields,
    to_json,
)
from damamba_jax.configs import ablation, baseline, dat, mpiigi, noxi
from damamba_jax.errors import ConfigError
from damamba_jax.runtime import command, config_files

FILES = {
    "noxi": noxi,
    "mpiigi": mpiigi,
    "dat": dat,
    "baseline": baseline,
    "ablation": ablation,
}
FEATURE_SETS = ("egemaps", "w2vbert2", "clip", "openface2", "openpose")
PRESETS = {
    "noxi": ("paper", "25hz", "demo", "tiny"),
    "mpiigi": ("paper", "25hz", "demo"),
    "dat": ("m", "l", "paper_table", "small"),
    "baseline": ("all", *FEATURE_SETS, "small"),
    "ablation": ("paper", "converged", "small"),
}


def demo(**overrides):
    config = noxi.get_config("demo")
    with config.unlocked():
        config.update_from_flattened_dict(overrides)
    return config


def test_fields_that_do_not_exist_name_the_nearest_known_one():
    config = demo()
    config.model.widht = 3
    with pytest.raises(ConfigError, match=r"config\.model\.widht.*did you mean"):
        from_config_dict(config)
    config = demo()
    config.optim.warmup_step = 3
    with pytest.raises(ConfigError, match="did you mean 'warmup_steps'"):
        from_config_dict(config)


def test_features_are_chosen_by_name_and_in_order():
    config = from_config_dict(demo(**{"data.features": " clip, egemaps"}))
    assert [f.name for f in config.data.features] == ["clip", "egemaps"]
    assert [f.group for f in config.data.features] == ["visual", "audio"]
    with pytest.raises(ConfigError, match="'clop'; did you mean 'clip'"):
        from_config_dict(demo(**{"data.features": "clop"}))
    for wrong in ("", "clip,clip"):
        with pytest.raises(ConfigError, match="each once"):
            from_config_dict(demo(**{"data.features": wrong}))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model.dim", 0, "`model.dim`: expected > 0, got 0"),
        ("model.dim", 7, "multiple of `num_heads` = 2, got 7"),
        ("model.dim", True, "expected int, got True"),
        ("model.feature_blocks", -1, "`model.feature_blocks`: expected >= 0"),
        ("model.dropout", 1.0, r"`model.dropout`: expected \[0, 1\), got 1.0"),
        ("model.encoder", "lstm", r"expected one of \['mamba', 'transformer'\]"),
        ("model.modality_dropout", 0.6, r"`model.modality_dropout`: expected \[0, 0.5"),
        ("model.feature_dropout", 1.0, r"`model.feature_dropout`: expected \[0, 1\)"),
        ("model.ssm", "s4", r"expected one of \['mamba1', 'mamba2'\]"),
        ("model.ssd_chunk", 0, "`model.ssd_chunk`: expected > 0"),
        ("data.normalization", "none", r"expected one of \['training', 'session'\]"),
        ("optim.loss", "mse", r"expected one of \['ccc', 'ccc-window', 'ccc-mean',"),
        ("data.label_unit", "turn", "expected 'ccc-mean' or 'cross-entropy-mean' with"),
        ("data.classes", "a,b", "`optim.loss`: expected 'cross-entropy' or"),
        ("optim.loss", "cross-entropy", "`optim.loss`: expected a CCC with"),
        ("optim.loss", "ccc-mean", "got 'ccc-mean'"),
        ("optim.center_sigma", -1.0, "`optim.center_sigma`: expected >= 0"),
        ("optim.context_weight", -1.0, "`optim.context_weight`: expected >= 0"),
        ("smoothing.kind", "gaussian", "> 0 for other kinds; got 0.0 for 'gaussian'"),
        ("smoothing.seconds", 1.0, "got 1.0 for 'none'"),
        ("optim.lr", float("nan"), "`optim.lr`: expected > 0, got nan"),
        ("optim.lr", "fast", r"expected float, got 'fast' \(str\)"),
        ("optim.weight_decay", -0.1, "`optim.weight_decay`: expected >= 0"),
        ("optim.b2", 1.0, r"`optim.b2`: expected \[0, 1\)"),
        ("optim.ema_decay", -0.5, r"`optim.ema_decay`: expected \[0, 1\)"),
        ("train.steps", 0, "`train.steps`: expected > 0"),
        ("train.eval_batches", -1, "`train.eval_batches`: expected >= 0"),
        ("seed", -1, "`seed`: expected >= 0"),
        ("data.participants", 5, "at most `model.max_participants` = 4, got 5"),
        ("data.eval_participants", 5, "`data.eval_participants`: expected at most"),
        ("data.num_folds", -2, "`data.num_folds`: expected >= 0"),
        ("data.window.core_frames", 0, "`data.window.core_frames`: expected > 0"),
        ("data.window.past_frames", -1, "`data.window.past_frames`: expected >= 0"),
        ("data.window.future_frames", -1, "`data.window.future_frames`: expected >= 0"),
        ("data.window.frame_hz", 0, "`data.window.frame_hz`: expected > 0"),
        ("data.train_splits", 3, "expected a list, got 3"),
        ("features.clip.drop_columns", (10,), r"in \[0, 10\), got \[10\]"),
    ],
)
def test_values_out_of_range_are_refused(field, value, message):
    tree = demo()
    *groups, name = field.split(".")
    group = tree
    for part in groups:
        group = group[part]
    with group.ignore_type():
        group[name] = value
    with pytest.raises(ConfigError, match=message):
        from_config_dict(tree)


def test_a_fold_must_exist():
    with pytest.raises(ConfigError, match=r"`data.fold`: expected \[0, 3\), got 3"):
        from_config_dict(demo(**{"data.num_folds": 3, "data.fold": 3}))


def test_a_forward_model_of_several_partners_must_interleave_them():
    wrong = {"model.direction": "forward", "data.participants": 3}
    with pytest.raises(ConfigError, match="set it to 'interleaved'"):
        from_config_dict(demo(**wrong))
    from_config_dict(demo(**wrong, **{"model.partner_order": "interleaved"}))
    later = {"model.direction": "forward", "data.eval_participants": 3}
    with pytest.raises(ConfigError, match="set it to 'interleaved'"):
        from_config_dict(demo(**later))


@pytest.mark.parametrize(
    ("hidden", "blind"),
    [
        ({"model.direction": "forward"}, "a forward model"),
        ({"data.window.future_frames": 0}, "a window without `future_frames`"),
    ],
)
def test_what_hides_the_future_uses_nothing_of_it(hidden, blind):
    for changes, message in (
        ({"data.normalization": "session"}, f"whose future {blind} does not see"),
        (
            {"smoothing.kind": "gaussian", "smoothing.seconds": 1.0},
            f"reads the future, which {blind} does not see",
        ),
    ):
        from_config_dict(demo(**changes))
        with pytest.raises(ConfigError, match=message):
            from_config_dict(demo(**changes, **hidden))
    # Without any context there is nothing to hide.
    alone = {"data.window.future_frames": 0, "data.window.past_frames": 0}
    from_config_dict(demo(**alone, **{"data.normalization": "session"}))


def test_heads_of_mamba2_divide_the_width_of_every_stack():
    for changes, message in (
        ({"model.head_dim": 48}, "divisor of the inner width 64 .* got 48"),
        ({"model.dialogue_dim": 36}, "divisor of the inner width 72 .* got 16"),
    ):
        from_config_dict(demo(**changes))
        with pytest.raises(ConfigError, match=message):
            from_config_dict(demo(**changes, **{"model.ssm": "mamba2"}))


@pytest.mark.parametrize(
    ("file", "field", "value", "message"),
    [
        (noxi, "model.system", "lstm", "Known: baseline, damamba, dat"),
        (dat, "model.dim", 0, "`model.dim`: expected > 0, got 0"),
        (dat, "model.group_blocks", -1, "`model.group_blocks`: expected >= 0"),
        (
            dat,
            "model.direction",
            "forward",
            "direction`: unknown field of system 'dat'",
        ),
        (dat, "model.group_block", 1, "'dat'; did you mean 'group_blocks'"),
        (noxi, "model.system", "dat", "audio_blocks`: unknown field of system 'dat'"),
        (baseline, "model.feature_dropout", 0.1, "unknown field of system 'baseline'"),
        (dat, "optim.infonce_weight", 0.4, "no embeddings to align; expected 0"),
        (dat, "data.participants", 1, "expected 2 or more, got 1"),
        (dat, "data.eval_participants", 1, "`data.eval_participants`: DAT's target"),
        (baseline, "data.eval_participants", 2, "`data.eval_participants`: the base"),
        (baseline, "data.participants", 2, "the target alone; expected 1, got 2"),
        (baseline, "model.hidden_dims", (), "one width or more"),
        (baseline, "model.hidden_dims", (8, 0), r"each > 0, got \(8, 0\)"),
    ],
)
def test_a_system_refuses_what_it_cannot_do(file, field, value, message):
    tree = file.get_config("demo" if file is noxi else "small")
    *groups, name = field.split(".")
    group = tree
    for part in groups:
        group = group[part]
    group[name] = value
    with pytest.raises(ConfigError, match=message):
        from_config_dict(tree)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("configs/dat.py --config.model.state_dim=64", "model.state_dim`: unknown"),
        ("configs/baseline.py --config.model.dim=64", "model.dim`: unknown field"),
    ],
)
def test_fields_of_another_system_are_unknown(flag, message, capsys):
    with pytest.raises(SystemExit):
        train.make_parser().parse(f"--config={flag}".split())
    assert message in capsys.readouterr().err


def test_no_hyperparameter_has_a_default():
    defaults = {
        f"{section.__name__}.{field.name}"
        for section in sections(Config)
        # What is empty there says that a file tells it itself.
        if not issubclass(section, TableReading)
        for field in dataclasses.fields(section)
        if field.default is not dataclasses.MISSING
        or field.default_factory is not dataclasses.MISSING
    }
    assert defaults == {
        "FeatureConfig.drop_columns",
        "FeatureConfig.missing_value",
        "FeatureConfig.stems",
        "FeatureConfig.table",
        "DataConfig.layout",
        "LayoutConfig.feature_path",
        "LayoutConfig.label_path",
        "LayoutConfig.label_rate",
        "LayoutConfig.labels",
        "LayoutConfig.partner_roles",
        "LayoutConfig.people",
        "LayoutConfig.turns",
        *(f"{system.__name__}.system" for system in SYSTEMS.values()),
    }


def sections(section: type) -> set[type]:
    """Lists a section and the ones in it, with every system."""
    found = {section}
    for _, hint in section_fields(section):
        for inner in (hint, *typing.get_args(hint)):
            if inner is SystemConfig:
                found |= set(SYSTEMS.values())
            elif dataclasses.is_dataclass(inner):
                found |= sections(inner)
    return found


def test_a_required_field_is_asked_for():
    tree = dataclasses.asdict(from_config_dict(demo()))
    del tree["train"]["steps"]
    with pytest.raises(ConfigError, match=r"config\.train\.steps`: required"):
        from_tree(tree)
    with pytest.raises(ConfigError, match="`config`: expected a group of fields"):
        from_json("[1]")


@pytest.mark.parametrize(
    ("name", "preset"), [(name, p) for name in FILES for p in PRESETS[name]]
)
def test_every_preset_builds_and_survives_json(name, preset):
    config = from_config_dict(FILES[name].get_config(preset))
    assert config.name == (name if preset == "paper" else f"{name}-{preset}")
    again = from_json(to_json(config))
    assert again == config
    assert differences(config, again) == []
    assert config.train.steps > config.optim.warmup_steps


@pytest.mark.parametrize("name", FILES)
def test_an_unknown_preset_lists_the_known_ones(name):
    known = ", ".join(sorted(PRESETS[name]))
    with pytest.raises(ConfigError, match=f"unknown preset.* Known: {known}"):
        FILES[name].get_config("huge")


@pytest.mark.parametrize("name", FILES)
def test_the_commands_of_a_file_parse(name):
    text = FILES[name].__doc__.replace("\\\n", " ")
    commands = re.findall(r"python -m (damamba_jax\.\w+)( --config=[^#\n]*)", text)
    studies = re.findall(r"damamba_jax\.study \w+ --preset=(\w+)", text)
    assert commands or studies
    assert set(studies) <= set(PRESETS[name])
    for module, line in commands:
        assert importlib.util.find_spec(module)
        given, *overrides = shlex.split(line)
        found = config_files.find_config(given.removeprefix("--config="))
        assert Path(found.partition(":")[0]).is_file()
        config = config_files.load_config(found)
        for override in overrides:
            if override.startswith("--config."):
                check_field(config, override.partition("=")[0].partition(".")[2])
        from_config_dict(config)


def test_differences_name_every_changed_field():
    old = from_config_dict(demo())
    new = from_config_dict(demo(**{"optim.lr": 1.0, "data.features": "clip"}))
    lines = differences(old, new)
    assert f"optim.lr: {old.optim.lr!r} -> 1.0" in lines
    assert "data.features.0.name: 'egemaps' -> 'clip'" in lines
    assert "data.features.4.name: 'openpose' -> 'absent'" in lines


def test_a_layout_of_its_own_is_a_group_of_fields():
    config = demo()
    with config.data.ignore_type():
        config.data.layout = {
            "name": "lab",
            "splits": ("a", "b"),
            "roles": ("host", "guest"),
        }
    layout = from_config_dict(config).data.layout
    assert layout == LayoutConfig(
        name="lab", splits=("a", "b"), roles=("host", "guest")
    )
    assert from_json(to_json(from_config_dict(config))).data.layout == layout
    with config.data.ignore_type():
        config.data.layout = {"name": "lab", "splits": (), "roles": ("host",)}
    with pytest.raises(ConfigError, match="one or more `roles` and `splits`"):
        from_config_dict(config)


def test_the_window_of_the_paper():
    window = from_config_dict(noxi.get_config()).data.window
    assert (window.window_frames, window.core_frames) == (96, 32)
    assert window.past_frames == window.future_frames == 32
    assert not window.hides_future
    assert window.window_seconds == pytest.approx(0.96)


def test_a_file_in_the_working_folder_comes_before_the_packaged_one(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    packaged = config_files.find_config("configs/noxi.py:demo")
    assert packaged.endswith("configs/noxi.py:demo")
    assert Path(packaged.partition(":")[0]).is_absolute()
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "noxi.py").write_text(
        "import ml_collections\n\n"
        "def get_config():\n    return ml_collections.ConfigDict({'own': 1})\n"
    )
    assert config_files.find_config("configs/noxi.py") == "configs/noxi.py"
    assert config_files.load_config("configs/noxi.py").own == 1


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--config=configs/noxy.py"], "expected a file, got 'configs/noxy.py'.*noxi"),
        (["--config=configs/noxi.py:dmo"], "unknown preset; did you mean 'demo'"),
        (
            ["--config=configs/noxi.py", "--config.model.widht=3"],
            "`--config.model.widht`: unknown field; did you mean.*dim",
        ),
        (
            ["--config=configs/noxi.py", "--config.modl.dim=3"],
            "`--config.modl.dim`: unknown field; did you mean 'model'",
        ),
        (["--wokdir=x"], "unknown flag of `damamba train`; did you mean '--workdir'"),
    ],
)
def test_wrong_flags_are_answered_in_one_line(argv, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        train.make_parser().parse(argv)
    said = capsys.readouterr().err
    text = said if stopped.value.code == 2 else str(stopped.value.code)
    assert text.startswith("error: ")
    assert re.search(message, text)


def test_messages_that_several_runs_would_repeat_are_left_out(monkeypatch, capsys):
    log = logging.getLogger("damamba_jax")
    for name in ("handlers", "propagate", "level"):
        monkeypatch.setattr(log, name, getattr(log, name))
    verbosity = command.absl_logging.get_verbosity()
    try:
        for level, said in ((logging.INFO, True), (logging.WARNING, False)):
            command.show_log(level)
            log.getChild("train").info("deviates from the paper")
            log.getChild("train").warning("no annotations")
            shown = capsys.readouterr().err
            assert ("deviates from the paper" in shown) == said
            assert "no annotations" in shown
    finally:
        command.absl_logging.set_verbosity(verbosity)
        # Levels are remembered by child loggers.
        log.setLevel(log.level)
