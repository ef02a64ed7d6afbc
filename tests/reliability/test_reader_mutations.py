"""Some damaged files of every format; `reader_mutations.py` reads thousands."""

import random

import pytest
import reader_mutations


@pytest.mark.parametrize("kind", reader_mutations.FORMATS)
# NumPy warns of what it casts, XML of nothing: neither is about damaged files.
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_read_or_refused(kind, tmp_path):
    found = reader_mutations.check(kind, 200, random.Random(1), tmp_path)
    assert found.total() == 200
    assert set(found) <= {"read", "refused"}, found


def test_files_are_changed():
    rng = random.Random(0)
    raw = b"a,b\n1,2.5\n"
    changed = {reader_mutations.mutate(raw, rng) for _ in range(50)}
    assert len(changed) > 40
