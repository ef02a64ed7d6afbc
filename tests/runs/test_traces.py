"""Predictions on disk that are damaged are refused by name."""

import re

import numpy as np
import pytest

from damamba_jax.errors import WorkdirError
from damamba_jax.metrics.trace import Trace
from damamba_jax.runs.traces import read_kept, read_traces, write_traces

# Larger than what the library unpacks before it compares a checksum.
FRAMES = 2000


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with predictions, their file, and its bytes."""
    folder = tmp_path_factory.mktemp("evaluation")
    rng = np.random.default_rng(0)
    traces = [
        Trace(
            split="noxi/val", session=session, role="expert", language=None,
            label=rng.random(FRAMES), prediction=rng.random(FRAMES),
        )
        for session in ("001", "002")
    ]  # fmt: skip
    path = write_traces(folder, traces, key="key")
    return folder, path, path.read_bytes()


def read(folder):
    """Reads the predictions, and says whether they were refused."""
    try:
        traces = read_traces(folder, "noxi/val")
    except WorkdirError as error:
        assert re.search(r"noxi-val\.npz: expected.*evaluate again", str(error), re.S)
        return "refused"
    assert len(traces) == 2
    return "read"


# A byte of the last entry in the list of files, the bit of it that flips, and the error
# that the library raises for it.
@pytest.mark.parametrize(
    ("place", "bit", "error"),
    [
        (8, 0x01, "RuntimeError"),  # encrypted
        (10, 0x02, "NotImplementedError"),  # compressed in another way
        (6, 0x40, "NotImplementedError"),  # of a later version of the format
    ],
)
def test_a_flipped_bit_in_the_list_of_files(written, place, bit, error):
    folder, path, raw = written
    damaged = bytearray(raw)
    damaged[raw.rindex(b"PK\x01\x02") + place] ^= bit
    path.write_bytes(damaged)
    with pytest.raises(WorkdirError, match="evaluate again") as refused:
        read_traces(folder, "noxi/val")
    assert type(refused.value.__cause__).__name__ == error
    assert read_kept(folder, "noxi/val", "key") is None


def test_bits_flip_anywhere_but_in_the_samples(written):
    """A checksum finds damaged samples; all else may be read before a checksum is."""
    folder, path, raw = written
    samples = {
        i
        for name in (b"label.npy", b"prediction.npy")
        for i in range(raw.index(name) + 200, raw.index(name) + 16 * FRAMES)
    }
    places = [i for i in range(len(raw)) if i not in samples]
    rng, found = np.random.default_rng(0), set()
    for place in rng.choice(places, 1000, replace=False):
        damaged = bytearray(raw)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        found.add(read(folder))
    # Some bits, such as those of dates, mean nothing to the reader.
    assert found == {"refused", "read"}


@pytest.mark.parametrize("old", [b"descr", b"shape", b"),", b"}"])
def test_a_damaged_header_of_an_array(written, old):
    folder, path, raw = written
    start = raw.index(b"\x93NUMPY", raw.index(b"prediction.npy"))
    place = raw.index(old, start)
    damaged = raw[:place] + b"(" * len(old) + raw[place + len(old) :]
    path.write_bytes(damaged)
    assert read(folder) == "refused"


def test_what_is_cut_off_is_refused(written):
    folder, path, raw = written
    for size in np.linspace(0, len(raw) - 1, 100).astype(int):
        path.write_bytes(raw[:size])
        assert read(folder) == "refused"


def test_another_file_in_its_place(written):
    folder, path, _ = written
    np.save(path.with_suffix(".npy"), np.zeros(3))
    path.write_bytes(path.with_suffix(".npy").read_bytes())
    assert read(folder) == "refused"


def test_what_may_not_be_opened_is_not_damaged(written, monkeypatch):
    folder, path, raw = written
    path.write_bytes(raw)

    def refuse(*_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(PermissionError):
        read_traces(folder, "noxi/val")
