"""Mistakes of users: each is answered by one message and the right exit status.

A message says what is wrong, what was expected, what was got, and how to mend it. The
exit status is 2 for a command line that is wrong by itself, and 1 for what stands in
files. Commands run in this process, through the `main` of each.
"""

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import filelock
import jax
import numpy as np
import pytest

import damamba_jax.__main__ as command_line
from damamba_jax import (
    cache,
    evaluate,
    inventory,
    predict,
    selfcheck,
    simulate,
    study,
    train,
)
from damamba_jax.config import __main__ as config_command
from damamba_jax.data.formats import ssi

ROOT = Path(__file__).parents[1]
MAINS = {
    "cache": cache.main,
    "config": config_command.main,
    "evaluate": evaluate.main,
    "inventory": inventory.main,
    "predict": predict.main,
    "selfcheck": selfcheck.main,
    "simulate": simulate.main,
    "study": study.main,
    "train": train.main,
}
CONFIG = """
from damamba_jax.configs import baseline


def get_config(preset="small"):
    c = baseline.get_config(preset)
    c.name = "mine"
    c.features = {
        "voice": dict(dim=4, group="audio", rate=50.0, stems="voice"),
        "face": dict(dim=6, group="visual", rate=25.0, stems="face"),
    }
    c.data.features = "voice,face"
    c.data.root = "corpus"
    c.data.cache_dir = "cache"
    c.data.layout = dict(
        name="mine", splits="train,val", roles="teacher,pupil",
        feature_path="{split}/{session}/{role}.{stem}.stream",
        label_path="{split}/{session}/{role}.csv", label_rate=10.0,
    )
    c.data.train_splits, c.data.val_split = "mine/train", "mine/val"
    c.model.hidden_dims = (4,)
    c.optim.warmup_steps = 1
    c.train.steps, c.train.eval_every, c.train.save_every = 1, 1, 1
    c.train.batch_size, c.train.eval_batches = 8, 1
    return c
"""
# The same features in tables; lines are added at its end.
TABLES = (
    CONFIG.replace("    return c\n", "")
    + """\
    c.features.voice.stems = c.features.face.stems = ""
    c.data.features = "voice"
    c.features.voice.table = dict(
        files="{split}/{session}/{role}.voice.csv", columns="pitch,loudness",
        time="time",
    )
    c.features.voice.dim = 2
"""
)


def write_corpus(root: Path) -> None:
    """Two sessions a split, of two people and 20 seconds."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for session in ("monday", "tuesday"):
            for role in ("teacher", "pupil"):
                path = root / split / session / role
                for name, rate, dim in (("voice", 50, 4), ("face", 25, 6)):
                    data = rng.normal(size=(20 * rate, dim)).astype(np.float32)
                    ssi.write_stream(f"{path}.{name}.stream", data, float(rate))
                ssi.write_labels(f"{path}.csv", rng.uniform(0, 1, 200))
                rows = [f"{i / 50},{i % 7},{i % 5}" for i in range(1000)]
                Path(f"{path}.voice.csv").write_text(
                    "\n".join(["time,pitch,loudness", *rows]) + "\n"
                )


@pytest.fixture(autouse=True, scope="module")
def as_in_a_program():
    """JAX is strict in tests alone; commands show their log, which tests must not."""
    log = logging.getLogger("damamba_jax")
    before = log.handlers, log.propagate, log.level
    with jax.numpy_dtype_promotion("standard"):
        yield
    log.handlers, log.propagate = before[:2]
    log.setLevel(before[2])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a corpus, a configuration of it, and a run of one step."""
    folder = tmp_path_factory.mktemp("mistakes")
    write_corpus(folder / "corpus")
    (folder / "mine.py").write_text(CONFIG)
    before = Path.cwd()
    os.chdir(folder)
    try:
        train.main(["--config=mine.py", "--workdir=run"])
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def folder(trained, tmp_path, monkeypatch):
    """A copy of it to make mistakes in, as the working folder."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name, text):
    def prepare(folder, monkeypatch):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return prepare


def empty_root(folder, monkeypatch):
    (folder / "empty").mkdir()


def refuse(number, method, suffix):
    """Lets the operating system refuse a path that ends in `suffix`."""

    def prepare(folder, monkeypatch):
        for owner, name in method:
            original = getattr(owner, name)

            def refused(path, *args, _original=original, **options):
                if os.fspath(path).rstrip("/").endswith(suffix):
                    raise OSError(number, os.strerror(number), os.fspath(path))
                return _original(path, *args, **options)

            monkeypatch.setattr(owner, name, refused)

    return prepare


def other_width(folder, monkeypatch):
    for path in folder.glob("corpus/*/*/*.face.stream"):
        ssi.write_stream(path, np.ones((500, 7), np.float32), 25.0)


def bad_header(folder, monkeypatch):
    path = folder / "corpus/train/monday/pupil.voice.stream"
    path.write_text(path.read_text().replace('sr="50', 'sr="fast'))


def text_labels(folder, monkeypatch):
    for path in folder.glob("corpus/train/*/*.csv"):
        if ".voice" not in path.name:
            path.write_text("engaged\n" * 200)


def large_labels(folder, monkeypatch):
    for path in folder.glob("corpus/*/*/*.csv"):
        if ".voice" not in path.name:
            ssi.write_labels(path, np.linspace(1, 5, 200))


def other_corpus(folder, monkeypatch):
    shutil.rmtree(folder / "corpus")
    (folder / "run" / "results.md").unlink()  # a finished run only shows its results
    rng = np.random.default_rng(1)
    write_corpus(folder / "corpus")
    for path in folder.glob("corpus/*/*/*.voice.stream"):
        data = rng.normal(size=(1000, 4)).astype(np.float32)
        ssi.write_stream(path, data, 50.0)


def locked(folder, monkeypatch):
    lock = filelock.FileLock(folder / "run" / "lock", is_singleton=False)
    lock.acquire()
    # It is held until the test has ended.
    monkeypatch.setattr(locked, "lock", lock, raising=False)


def no_checkpoint(folder, monkeypatch):
    shutil.rmtree(folder / "run" / "checkpoints")


def damaged(folder, monkeypatch):
    for path in folder.glob("run/checkpoints/**/*"):
        if path.is_file():
            path.write_bytes(b"\0" * path.stat().st_size)


def other_evaluation(folder, monkeypatch):
    (folder / "held").mkdir()
    record = {"settings": {"workdirs": ["elsewhere"]}}
    (folder / "held" / "evaluation.json").write_text(json.dumps(record))


def labels_elsewhere(folder, monkeypatch):
    (folder / "ratings").mkdir()
    for path in folder.glob("corpus/*/*/*.csv"):
        if ".voice" not in path.name:
            path.unlink()


def tables(*lines, header="time,pitch,loudness"):
    def prepare(folder, monkeypatch):
        text = TABLES + "".join(f"    {line}\n" for line in lines) + "    return c\n"
        (folder / "mine.py").write_text(text)
        for path in folder.glob("corpus/*/*/*.voice.csv"):
            rows = path.read_text().splitlines()[1:]
            path.write_text("\n".join([header, *rows]) + "\n")

    return prepare


TRAIN = "train --config=mine.py --workdir=new"
# Name, command line, what was done before, exit status, and words of the message.
MISTAKES = [
    # --- the command line ---
    ("command", "trian", None, 2, "unknown command 'trian'; did you mean 'train'?"),
    ("flag", "train --wrkdir=x --config=mine.py", None, 2,
     "`--wrkdir`: unknown flag of `damamba train`; did you mean '--workdir'?"),
    ("flag-of-evaluate", f"{TRAIN} --splits=mine/val", None, 2,
     "`--splits`: unknown flag of `damamba train`; expected with `damamba evaluate`"),
    ("flag-of-train", "evaluate --workdir=run --coordinator=a:1", None, 2,
     "unknown flag of `damamba evaluate`; expected with `damamba train`"),
    ("config-of-train", "evaluate --workdir=run --config.optim.lr=1", None, 2,
     "`--config.optim.lr`: unknown flag of `damamba evaluate`; expected with"),
    ("argument", f"{TRAIN} run", None, 2, "expected flags only, got 'run'"),
    ("no-config", "train --workdir=new", None, 2, "`--config`: expected a value, got"),
    ("empty-config", "train --config= --workdir=new", None, 1,
     "`--config`: expected a file, got ''"),
    ("no-workdir", "evaluate", None, 2, "`--workdir`: expected a value, got nothing"),
    ("unknown-protocol", "evaluate --workdir=run --protocol=lng", None, 2,
     "expected one of stitched, long, got 'lng'; did you mean 'long'?"),
    ("unknown-smoothing", "evaluate --workdir=run --smoothing=gausian:1", None, 2,
     "`--smoothing`: expected 'none', 'exponential:SECONDS' or 'gaussian:SECONDS', "
     "got 'gausian:1'"),
    ("smoothing-without-seconds",
     "predict --workdir=run --input=in --out=out --smoothing=gaussian", None, 2,
     "`--smoothing`: expected 'none', 'exponential:SECONDS' or 'gaussian:SECONDS', "
     "got 'gaussian'"),
    ("negative-flag", "evaluate --workdir=run --pictures=-1", None, 2,
     "`--pictures`: expected a whole number of at least 0, got '-1'"),
    ("warning-of-several-processes",
     f"{TRAIN} --coordinator=a:1 --num_processes=2 --on_warning=save", None, 2,
     "`--on_warning`: expected stop for a run of several processes", "got 'save'"),
    ("ensemble-of-one", "evaluate --workdir=run --ensemble", None, 2,
     "`--ensemble`: expected two workdirs or more, got one"),
    ("unknown-study", "study ablaton", None, 2,
     "got 'ablaton'; did you mean 'ablation'?"),
    ("unknown-preset-of-a-study", "study systems --preset=smal", None, 2,
     "`--preset`: unknown preset 'smal'; did you mean 'small'?"),
    ("unknown-row-of-a-study", "study effects --rows=mamba3", None, 1,
     "'mamba3'", "did you mean 'mamba2'?"),
    ("unknown-cache", "cache --remove=program", None, 2,
     "got 'program'; did you mean 'programs'?"),
    ("unknown-implementation", "selfcheck --implementation=palas", None, 2,
     "unknown implementation 'palas'; did you mean 'pallas'?"),
    ("unknown-feature-of-inventory", "inventory --root=corpus --features=clp", None, 2,
     "`--features`: unknown feature 'clp'; did you mean 'clip'?"),
    ("unknown-simulated-preset", "simulate --out=new --preset=dmo", None, 2,
     "got 'dmo'; did you mean 'demo'?"),
    # --- fields of a configuration ---
    ("field", f"{TRAIN} --config.optim.rl=1", None, 2,
     "`--config.optim.rl`: unknown field; did you mean 'lr'?"),
    ("group", f"{TRAIN} --config.optm.lr=1", None, 2,
     "`--config.optm.lr`: unknown field; did you mean 'optim'?"),
    ("type", f"{TRAIN} --config.train.steps=many", None, 2,
     "`--config.train.steps`: expected a whole number, got 'many'"),
    ("negative", f"{TRAIN} --config.optim.lr=-1", None, 1,
     "`optim.lr`: expected > 0, got -1"),
    ("zero", f"{TRAIN} --config.train.batch_size=0", None, 1,
     "`train.batch_size`: expected > 0, got 0"),
    ("system", f"{TRAIN} --config.model.system=damamab", None, 1,
     "unknown system 'damamab'; did you mean 'damamba'?"),
    ("feature", f"{TRAIN} --config.data.features=voice,fase", None, 1,
     "`data.features`: unknown feature 'fase'; did you mean 'face'?"),
    ("split", f"{TRAIN} --config.data.train_splits=mine/trian", None, 1,
     "unknown split 'mine/trian'; did you mean 'mine/train'?"),
    ("validation-is-trained-on", f"{TRAIN} --config.data.val_split=mine/train", None, 1,
     "`data.val_split`", "mine/train"),
    ("simulated", f"{TRAIN} --config.data.root= --config.data.simulated=dmo", None, 1,
     "`data.simulated`: unknown preset 'dmo'; did you mean 'demo'?"),
    ("init-from", f"{TRAIN} --config.init_from=nowhere", None, 1,
     "`init_from`: nowhere: expected a folder of a training run"),
    # --- files of configurations ---
    ("config-missing", "train --config=configs/noxy.py", None, 1,
     "`--config`: expected a file, got 'configs/noxy.py'; did you mean "
     "'configs/noxi.py'?"),
    ("config-is-a-folder", "train --config=corpus", None, 1,
     "`--config`: expected a file, got 'corpus'"),
    ("config-broken", TRAIN, write("mine.py", "def get_config(:\n"), 1,
     "`--config`: mine.py, line 1: expected Python that runs, got SyntaxError"),
    ("config-without-get-config", TRAIN, write("mine.py", "x = 1\n"), 1,
     "mine.py: expected a function `get_config`"),
    ("config-raises", TRAIN,
     write("mine.py", "def get_config():\n    return missing\n"), 1,
     "mine.py, line 2: expected Python that runs, got NameError: name 'missing'"),
    ("config-returns-nothing", TRAIN,
     write("mine.py", "def get_config():\n    pass\n"), 1,
     "expected a `ConfigDict` from `get_config`, got NoneType"),
    ("preset", "train --config=configs/noxi.py:dmeo", None, 1,
     "unknown preset; did you mean 'demo'?"),
    ("preset-of-a-file-without", "train --config=mine.py:small",
     write("mine.py", "def get_config():\n    pass\n"), 1,
     "expected a file whose `get_config` takes a preset, got the preset 'small'"),
    ("show-missing", "config show nothing.py", None, 1,
     "`--config`: expected a file, got 'nothing.py'"),
    ("show-misspelt", "config shwo mine.py", None, 2,
     "expected one of show, got 'shwo'"),
    # --- corpora ---
    ("root-missing", f"{TRAIN} --config.data.root=nowhere", None, 1,
     "`data.root`: expected a folder with recordings, got 'nowhere': nothing there"),
    ("root-is-a-file", f"{TRAIN} --config.data.root=mine.py", None, 1,
     "got 'mine.py': a file"),
    ("root-empty", f"{TRAIN} --config.data.root=empty", empty_root, 1,
     "`data.root`: expected a corpus of a known layout, got", "nothing in it"),
    ("root-unreadable", TRAIN,
     refuse(errno.EACCES, [(os, "listdir"), (os, "scandir")], "/corpus"), 1,
     "corpus: Permission denied. Change its permissions"),
    ("inventory-of-nothing", "inventory --root=nowhere", None, 1,
     "expected a folder with recordings, got 'nowhere': nothing there"),
    ("labels-root-without-labels", f"{TRAIN} --config.data.labels_root=ratings",
     labels_elsewhere, 1,
     "no annotation file", "If the annotations lie elsewhere, set `data.labels_root`"),
    ("width", TRAIN, other_width, 1,
     "face.stream: `info.dim`: expected 6 columns (`features.face.dim`), got 7"),
    ("stream-header", TRAIN, bad_header, 1,
     "pupil.voice.stream: `info.sr`: expected a number in"),
    ("text-in-labels", TRAIN, text_labels, 1,
     "teacher.csv: `line 1`: expected one number per line, got 'engaged'"),
    ("labels-out-of-range", TRAIN, large_labels, 1,
     "expected most of them within `data.label_range` = (0, 1), got 1 to 5",
     "--config.data.label_range=1,5"),
    ("csv-column", TRAIN,
     tables('c.features.voice.table.columns = "pitch,loudnes"'), 1,
     "expected a column 'loudnes'", "did you mean 'loudness'?"),
    ("csv-without-time", TRAIN, tables(header="seconds,pitch,loudness"), 1,
     "'time'", "Known: "),
    # --- workdirs ---
    ("workdir-is-a-file", "train --config=mine.py --workdir=mine.py", None, 1,
     "mine.py: File exists. Name something new"),
    ("workdir-of-another-configuration",
     "train --config=mine.py --workdir=run --config.optim.lr=0.5", None, 1,
     "run: holds a run of another configuration", "optim.lr", "--workdir=NEW"),
    ("workdir-of-another-corpus",
     "train --config=mine.py --workdir=run --config.train.steps=1", other_corpus, 1,
     "expected the corpus that this run began with", "--workdir=NEW"),
    ("workdir-locked", "train --config=mine.py --workdir=run", locked, 1,
     "another process is training here", "--workdir=NEW"),
    ("workdir-with-brackets", "train --config=mine.py --workdir=a[1]", None, 1,
     "`--workdir`: expected a path without *, ? and ["),
    ("workdir-read-only", TRAIN, refuse(errno.EACCES, [(os, "mkdir")], "new"), 1,
     "new: Permission denied. Change its permissions, or name another folder."),
    ("workdir-missing", "evaluate --workdir=nowhere", None, 1,
     "nowhere", "damamba train"),
    ("workdir-without-checkpoint", "evaluate --workdir=run", no_checkpoint, 1,
     "run: expected a checkpoint, got none that can be read", "damamba train"),
    ("workdir-damaged", "evaluate --workdir=run", damaged, 1,
     "run: expected a checkpoint, got none that can be read", "damamba train"),
    ("config-json-damaged", "evaluate --workdir=run", write("run/config.json", "{"), 1,
     "expected a configuration in JSON"),
    # --- outputs ---
    ("splits", "evaluate --workdir=run --splits=mine/vla", None, 1,
     "unknown split 'mine/vla'; did you mean 'mine/val'?"),
    ("out-of-another-evaluation", "evaluate --workdir=run --out=held",
     other_evaluation, 1, "`--out`: held holds another evaluation", "new folder"),
    ("simulate-into-a-full-folder", "simulate --out=corpus --preset=tiny", None, 1,
     "expected a new or empty folder, got 'corpus', which is not empty"),
    ("simulate-without-space", "simulate --out=new --preset=tiny",
     refuse(errno.ENOSPC, [(os, "replace")], ".part"), 1,
     "No space left on device. Free some space"),
]  # fmt: skip


def run(line, capsys):
    """Runs a command line in this process: (exit status, stdout, stderr)."""
    name, *flags = line.split()
    main = MAINS.get(name)
    status: object = 0
    try:
        status = main(flags) if main else command_line.main([name, *flags])
    except SystemExit as end:
        status = end.code
    out, err = capsys.readouterr()
    if isinstance(status, str):
        status, err = 1, f"{err}{status}\n"
    return status or 0, out, err


@pytest.mark.parametrize(
    ("line", "prepare", "status", "words"),
    [(line, prepare, status, words) for _, line, prepare, status, *words in MISTAKES],
    ids=[name for name, *_ in MISTAKES],
)
def test_a_mistake_is_answered(
    line, prepare, status, words, folder, monkeypatch, capsys
):
    if prepare is not None:
        prepare(folder, monkeypatch)
    found, _, said = run(line, capsys)
    assert found == status, said
    message = said[said.rindex("error: ") :]
    assert len(message) < 900 and message.count("\n") < 8, message
    for part in words:
        assert part in message
    assert not (folder / "new" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("line", "platforms", "status", "words"),
    [
        ("trian", "cpu", 2, "did you mean 'train'?"),
        ("train --config=mine.py --splits=a", "cpu", 2, "expected with `damamba evalu"),
        ("train --config=mine.py --config.optim.lr=0", "cpu", 1, "expected > 0, got 0"),
        ("train --config=mine.py --workdir=new", "gpus", 1,
         "`JAX_PLATFORMS`: expected a platform that this machine has, got 'gpus'"),
    ],
    ids=["command", "flag", "value", "platform"],
)  # fmt: skip
def test_a_mistake_is_answered_by_a_process(folder, line, platforms, status, words):
    done = subprocess.run(
        [sys.executable, "-m", "damamba_jax", *line.split()],
        env={**os.environ, "JAX_PLATFORMS": platforms, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == status
    assert "Traceback" not in done.stderr and words in done.stderr.splitlines()[-1]


def test_there_are_forty_and_no_two_are_one():
    names = [name for name, *_ in MISTAKES]
    assert len(set(names)) == len(names) >= 40
    assert len({(line, str(prepare)) for _, line, prepare, *_ in MISTAKES}) == len(
        names
    )
