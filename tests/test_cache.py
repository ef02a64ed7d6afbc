"""What is kept for later runs: listed, and removed kind by kind."""

import pytest

from damamba_jax import cache


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("DAMAMBA_CACHE", str(tmp_path / "user"))
    files = {
        "user/programs/x86_64-1/step-cache": 3_000_000,
        "user/programs/x86_64-1/lowered/step-1.stablehlo": 1_000_000,
        "data/simulated-tiny-0/noxi/a.stream": 500_000,
        "data/.simulated-demo-1-x/b.stream": 100_000,
        "data/statistics-clip-2.npz": 200_000,
        "data/streams/3": 300_000,
    }
    for name, size in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine").write_bytes(bytes(10))
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    return tmp_path


def call(kept, *flags):
    assert cache.main([f"--cache_dir={kept / 'data'}", *flags]) == 0


def test_everything_is_listed_with_its_size(kept, capsys):
    call(kept)
    said = capsys.readouterr().out
    assert "| programs | x86_64-1 | 4.0 MB |" in said
    assert "| simulated | simulated-tiny-0 | 0.5 MB |" in said
    assert "| data | statistics-clip-2.npz | 0.2 MB |" in said
    assert "| all |  | 5.1 MB |" in said
    assert str(kept / "user" / "programs") in said


@pytest.mark.parametrize(
    ("kinds", "left"),
    [
        ("programs", {"simulated", "data"}),
        ("simulated", {"programs", "data"}),
        ("programs,data", {"simulated"}),
    ],
)
def test_one_kind_is_removed_and_no_other(kept, kinds, left, capsys):
    call(kept, f"--remove={kinds}")
    assert {entry.kind for entry in cache.find_entries(kept / "data")} == left
    # A link is removed, and not what it leads to.
    assert (kept / "elsewhere" / "mine").exists()
    assert "removed: " in capsys.readouterr().out


def test_wrong_kinds_are_named_before_anything_is_removed(kept, monkeypatch, capsys):
    with pytest.raises(SystemExit) as end:
        call(kept, "--remove=programs,all")
    assert end.value.code == 2
    assert "expected one of programs, simulated, data" in capsys.readouterr().err
    assert len(list(cache.find_entries(kept / "data"))) == 6
    monkeypatch.setenv("DAMAMBA_CACHE", "off")
    assert {e.kind for e in cache.find_entries(kept / "data")} == {"simulated", "data"}
    assert list(cache.find_entries(kept / "nowhere")) == []
