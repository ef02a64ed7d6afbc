"""The loader's benchmark, on a corpus of seconds."""

import numpy as np
import pytest

from benchmarks import loader


def test_prints_a_table_and_writes_a_picture(tmp_path, capsys):
    out = tmp_path / "loader.png"
    flags = [f"--out={out}", "--cached_gb=0.005", "--corpus_gb=0.02", "--passes=1",
             "--session_seconds=5", "--batches=1"]  # fmt: skip
    assert loader.main(flags) == 0
    printed = capsys.readouterr().out
    assert "parity: 20 windows" in printed
    assert "| threads: 1; 0.005 GB in page cache |" in printed
    assert "RssAnon over one epoch of 0.02 GB (256 windows" in printed
    assert out.read_bytes().startswith(b"\x89PNG")


def test_the_parity_check_notices_a_shifted_row(tmp_path, monkeypatch):
    original = loader.windows.EvaluationSource.__getitem__

    def shifted(source, index):
        batch, rows = original(source, index)
        values = batch["features"]["clip"]
        batch["features"]["clip"] = np.roll(values, 1, axis=2)
        return type(original(source, index))(batch, rows)

    monkeypatch.setattr(loader.windows.EvaluationSource, "__getitem__", shifted)
    with pytest.raises(AssertionError, match="clip"):
        loader.check_parity(tmp_path)
