"""The example of README.md, with the recordings that it describes."""

import csv
import functools
import re
from pathlib import Path

import numpy as np
import pytest
from commands import ROOT, run_module


def write_recordings(root: Path) -> None:
    rng = np.random.default_rng(0)
    for session in ("monday", "tuesday", "friday"):
        (root / session).mkdir(parents=True)
        ratings = []
        for person in ("ann", "bob"):
            with open(root / session / f"{person}_face.csv", "w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(("time", "success", "AU01_r", "AU12_r"))
                for i, row in enumerate(rng.random((500, 2)).round(3).tolist()):
                    writer.writerow((i / 25, int(i % 50 > 0), *row))
            starts = np.arange(0.0, 20.0, 2.5).tolist()
            ratings += [(person, t, t + 2.5, rng.integers(1, 6)) for t in starts]
        with open(root / session / "engagement.csv", "w", newline="") as file:
            csv.writer(file).writerows([("person", "from", "to", "rating"), *ratings])


@pytest.mark.slow
def test_the_example_trains(tmp_path):
    page = (ROOT / "README.md").read_text()
    (example,) = re.findall(r"```python\n# my_corpus.py\n(.*?)```", page, re.DOTALL)
    (tmp_path / "my_corpus.py").write_text(example)
    write_recordings(tmp_path / "recordings")

    run = functools.partial(run_module, tmp_path)
    listed = run("damamba_jax.inventory", "--config=my_corpus.py")
    assert "| mine/all | 3 | 6 | 6 | 100.0% | 0.02 |" in listed
    assert "problems: 0" in listed
    trained = run("damamba_jax.train", "--config=my_corpus.py:tiny", "--workdir=run")
    assert "mine/all" in trained and (tmp_path / "run" / "results.json").is_file()
