"""A small corpus, and the ways in which a single value of it can be hostile."""

import math
import os
import shutil
from pathlib import Path

import numpy as np
from forms import write_rows

from damamba_jax.config.sections import Config
from damamba_jax.config.tree import from_config_dict
from damamba_jax.data.formats import ssi

SESSIONS = (("train", "one"), ("train", "two"), ("val", "three"))
ROLES = ("ann", "bob")
SECONDS = 8
# What most kinds change.
FOLDER = "train/one"
FACE = f"{FOLDER}/ann.face.stream"
POSE = f"{FOLDER}/ann.pose.csv"
OTHER = f"{FOLDER}/bob.pose.csv"
LABELS = f"{FOLDER}/ann.engagement.csv"


def write_corpus(root: Path) -> None:
    rng = np.random.default_rng(0)
    for split, session in SESSIONS:
        for role in ROLES:
            base = root / split / session
            face = rng.normal(size=(25 * SECONDS, 3)).astype(np.float32)
            ssi.write_stream(base / f"{role}.face.stream", face, 25.0)
            rows = [(i / 10, *rng.normal(size=2).round(3)) for i in range(10 * SECONDS)]
            write_rows(base / f"{role}.pose.csv", ("time", "x", "y"), rows)
            labels = rng.uniform(0.1, 0.9, size=10 * SECONDS)
            ssi.write_labels(base / f"{role}.engagement.csv", labels)


def config_text(root: Path, cache: Path, **data) -> str:
    """A configuration file for the corpus, of the smallest model that trains."""
    extra = "".join(f"    config.data.{k} = {v!r}\n" for k, v in data.items())
    return f"""
from damamba_jax.configs import baseline


def get_config():
    config = baseline.get_config("small")
    config.model.hidden_dims = (4,)
    config.features = dict(
        face=dict(dim=3, group="visual", rate=25.0, stems="face"),
        pose=dict(
            dim=2,
            group="visual",
            rate=10.0,
            table=dict(files="{{split}}/{{session}}/{{role}}.pose.csv", time="time"),
        ),
    )
    config.data.features = "face,pose"
    config.data.root = {os.fspath(root)!r}
    config.data.cache_dir = {os.fspath(cache)!r}
    config.data.layout = dict(
        name="mine",
        splits="train,val",
        roles="ann,bob",
        label_path="{{split}}/{{session}}/{{role}}.engagement.csv",
        label_rate=10.0,
    )
    config.data.train_splits = "mine/train"
    config.data.val_split = "mine/val"
    config.train.steps = 2
    config.train.eval_every = 2
    config.train.save_every = 2
    config.train.eval_batches = 1
    config.train.batch_size = 4
    config.optim.warmup_steps = 1
{extra}    return config
"""


def _stream(change):
    def apply(root: Path) -> None:
        path = root / FACE
        data = change(np.array(ssi.read_stream(path).data))
        ssi.write_stream(path, data, 25.0)

    return apply


def _some(value: float, *, every: int = 7):
    def change(data):
        data[::every] = value
        return data

    return _stream(change)


def _labels(change):
    def apply(root: Path) -> None:
        path = root / LABELS
        ssi.write_labels(path, change(ssi.read_labels(path)))

    return apply


def _text(file: str, old: str, new: str, *, count: int = -1):
    def apply(root: Path) -> None:
        path = root / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, count))

    return apply


def _cell(value: str, *, row: int = 5, column: int = 1, file: str = POSE):
    def apply(root: Path) -> None:
        path = root / file
        lines = path.read_text().splitlines()
        cells = lines[row].split(",")
        cells[column] = value
        lines[row] = ",".join(cells)
        path.write_text("\n".join(lines) + "\n")

    return apply


def _bytes(file: str, change):
    def apply(root: Path) -> None:
        path = root / file
        path.write_bytes(change(path.read_bytes()))

    return apply


def _rename(old: str, new: str | bytes):
    def apply(root: Path) -> None:
        target = os.fsencode(root) + b"/" + os.fsencode(new)
        os.rename(os.fsencode(root / old), target)

    return apply


def _pipe(file: str):
    def apply(root: Path) -> None:
        (root / file).unlink()
        os.mkfifo(root / file)

    return apply


def _circle(root: Path) -> None:
    (root / "train" / "four").symlink_to(root / "train" / "four")


def _outside(root: Path) -> None:
    path = root / FACE
    moved = root.parent / "elsewhere.stream"
    shutil.move(path, moved)
    path.symlink_to(moved)


def _minus_one(data):
    data = abs(data)
    data[::7] = -1
    return data


def _every_ninth(value: float):
    return lambda values: np.where(np.arange(len(values)) % 9, values, value)


def _long(data):
    return np.resize(data, (10 * len(data), 3))


NAN = math.nan
# Name -> what is changed, and what must be said of it.
KINDS = {
    "face nan": (_some(NAN, every=1), "face holds no number"),
    "face inf": (_some(math.inf, every=1), "face holds no number"),
    "face -1": (_stream(_minus_one), "often -1"),
    "face -999": (_some(-999.0), "often -999"),
    "face 1e30": (_some(1e30), "beyond 1e"),
    "face constant": (_some(2.0, every=1), "never changes"),
    "face scale": (_stream(lambda d: d * np.float32(1e4)), "times as large"),
    "face width": (_stream(lambda d: d[:, :2]), "ann.face.stream"),
    "face short": (_stream(lambda d: d[:50]), "stops after 2.0 of 8.0 s"),
    "face long": (_stream(_long), "stops after 8.0 of 80.0 s"),
    "face empty": (_stream(lambda d: d[:0]), "no frames"),
    "face rate 1e6": (_text(FACE, 'sr="25.000000"', 'sr="1000000.0"'), "sr=1e+06"),
    "face rate 1e-6": (_text(FACE, 'sr="25.000000"', 'sr="0.000001"'), "sr=1e-06"),
    "face rate nan": (_text(FACE, 'sr="25.000000"', 'sr="nan"'), "info.sr"),
    "face num": (_text(FACE, 'num="200"', 'num="900000000"'), "claims num=900000000"),
    "face dim": (_text(FACE, 'dim="3"', 'dim="1000000"'), "ann.face.stream"),
    "face from": (_text(FACE, 'from="0.000000"', 'from="1e9"'), "chunk.from"),
    "face entity": (_text(FACE, "<stream", "<!DOCTYPE x><stream"), "without document"),
    "face cut": (_bytes(f"{FACE}~", lambda b: b[:-5]), "whole rows"),
    "face pipe": (_pipe(FACE), "a pipe or a device"),
    "face data pipe": (_pipe(f"{FACE}~"), "ann.face.stream: `data`"),
    "face link": (_outside, "is a link out of"),
    "circle": (_circle, "link in a circle"),
    "pose text": (_cell("here"), "ann.pose.csv: `x`"),
    "pose nan": (_cell("nan"), ""),
    "pose 1e400": (_cell("1e400"), ""),
    "pose 1e30": (_cell("1e30"), "beyond 1e"),
    "pose time": (_cell("1e9", column=0, row=80), "ann.pose.csv"),
    "pose time text": (_cell("soon", column=0), "ann.pose.csv: `time`"),
    "pose ragged": (_cell("1,2,3"), "ann.pose.csv"),
    "pose quote": (_cell('"'), "ann.pose.csv"),
    "pose column": (_text(POSE, "time,x,y", "time,x"), "ann.pose.csv"),
    "pose name": (_text(OTHER, "time,x,y", "time,x,z"), "bob.pose.csv"),
    "pose empty": (_bytes(POSE, lambda b: b""), "ann.pose.csv"),
    "pose bytes": (_bytes(POSE, lambda b: bytes(range(256)) * 9), "ann.pose.csv"),
    "labels 5": (_labels(lambda v: 1 + 4 * v), "within `data.label_range`"),
    "labels -1": (_labels(_every_ninth(-1)), "labels are -1"),
    "labels constant": (_labels(lambda v: 0 * v + 0.5), "all labels are 0.5"),
    "labels nan": (_labels(lambda v: v * NAN), "no frame of"),
    "labels 1e30": (_labels(_every_ninth(1e30)), "outside of"),
    "labels text": (_bytes(LABELS, lambda b: b"a;b\n" * 80), "ann.engagement.csv"),
    "labels comma": (_bytes(LABELS, lambda b: b + b"0,5\n"), "ann.engagement.csv"),
    "labels empty": (_bytes(LABELS, lambda b: b""), "ann.engagement.csv"),
    "labels short": (_labels(lambda v: v[:20]), "labels cover 2.0 s"),
    "labels pipe": (_pipe(LABELS), "a pipe or a device"),
    "labels case": (_rename(LABELS, f"{FOLDER}/ANN.Engagement.CSV"), ""),
    "name 250": (_rename("val/three", "val/" + "n" * 250), ""),
    "name dollar": (_rename("val/three", r"val/a $\frac{ b$ $"), ""),
    "name bytes": (_rename("val/three", b"val/\xff\xfe"), ""),
    "name newline": (_rename("val/three", "val/a\n| b | \x1b[31m"), ""),
    "name braces": (_rename("val/three", "val/{session}"), ""),
    "unread": (_rename(POSE, f"{FOLDER}/ann.poes.csv"), "no pattern reads"),
}  # fmt: skip


# Those that the normal suite trains on: one for each way into a model.
TRAINED = {
    "face nan", "face 1e30", "face width", "face short", "face empty", "face rate 1e6",
    "face cut", "face pipe", "pose text", "pose 1e400", "pose bytes", "pose name",
    "labels 5", "labels nan", "labels 1e30", "labels text", "labels empty",
    "labels short", "name 250", "name dollar", "name bytes", "name newline",
}  # fmt: skip
assert TRAINED <= KINDS.keys()


def make_config(text: str) -> Config:
    space: dict = {}
    exec(text, space)
    return from_config_dict(space["get_config"]())
