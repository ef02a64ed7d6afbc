"""Every picture has the one style, whatever the user's own is."""

import ast

import matplotlib
import pytest
from source import ROOT

from damamba_jax.reporting.figure import STYLE, make_figure, save, styled


def drawing_functions():
    """Functions that make a figure, with their decorators."""
    for folder in ("damamba_jax", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef) and node.name != "make_figure":
                    calls = [n for n in ast.walk(node) if isinstance(n, ast.Call)]
                    if any(ast.unparse(c.func).endswith("make_figure") for c in calls):
                        yield path, node


def test_all_pictures_have_the_style():
    found = list(drawing_functions())
    assert len(found) >= 6
    for path, node in found:
        names = [ast.unparse(name).rpartition(".")[2] for name in node.decorator_list]
        assert "styled" in names, f"{path}: {node.name}"


def test_no_other_file_sets_a_style():
    for folder in ("damamba_jax", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            code = path.read_text(encoding="utf-8")
            words = ("rcParams", "style.use", "set_facecolor", "frameon=")
            own = path == STYLE.with_name("figure.py")
            assert own or not any(word in code for word in words), path
    assert list((ROOT / "damamba_jax").rglob("*.mplstyle")) == [STYLE]


@styled
def draw(path):
    figure = make_figure(3.0, 2.0)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], label="line")
    axes.legend()
    save(figure, path)


@pytest.mark.parametrize(
    "mine", [{"font.size": 20.0}, {"axes.facecolor": "red", "legend.frameon": True}]
)
def test_the_user_s_own_style_is_neither_used_nor_changed(tmp_path, mine):
    draw(tmp_path / "a.png")
    with matplotlib.rc_context(mine):
        draw(tmp_path / "b.png")
        assert {name: matplotlib.rcParams[name] for name in mine} == mine
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
