"""Compiled programs: compiled while other work goes on, and kept for the next run.

Two things are kept in one folder of the user's cache. The first is JAX's own
compilation cache, which holds the output of XLA. JAX looks a program up there by its
lowered form, so that it still has to trace and lower each program. This takes longer
than reading the cache: the GPU kernels alone take seconds of Python. So `Program` also
keeps the lowered program, as `jax.export` writes it, under a hash of everything that it
depends on.

`DAMAMBA_CACHE` names another folder, or is `off`. `JAX_COMPILATION_CACHE_DIR` keeps its
meaning for JAX's own cache.
"""

import atexit
import contextlib
import functools
import hashlib
import importlib
import importlib.metadata
import json
import logging
import os
import platform
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.export
from platformdirs import user_cache_path

import damamba_jax
from damamba_jax.files import replace_file

_log = logging.getLogger(__name__)

VARIABLE = "DAMAMBA_CACHE"
# The least recently used programs are removed when there are more bytes than this.
MAX_COMPILED_BYTES = 4 << 30
MAX_LOWERED_BYTES = 1 << 30
# Programs that compile faster are not worth a file.
_MIN_SECONDS = 0.2
_LOWERED = "lowered"


def program_folder() -> Path | None:
    """Returns the folder of kept programs, or `None` if no programs shall be kept.

    There is one folder for each kind of processor, because XLA compiles for the
    processor that it finds, and several machines may share a home folder.
    """
    chosen = os.environ.get(VARIABLE, "")
    if chosen.lower() in ("off", "0", "no", "none"):
        return None
    root = Path(chosen).expanduser() if chosen else user_cache_path("damamba_jax")
    return root / "programs" / _processor()


@functools.cache
def _processor() -> str:
    """Names the processor by its architecture and a hash of its abilities."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = [platform.processor()]
    known = ("model name", "flags", "Features", "CPU part")
    abilities = sorted({line for line in lines if line.startswith(known)}) or lines
    digest = hashlib.sha256("\n".join(abilities).encode()).hexdigest()[:8]
    return f"{platform.machine()}-{digest}"


def keep_programs() -> None:
    """Lets JAX keep its compiled programs in our folder.

    Nothing changes if the user has switched the cache off, or has already given JAX a
    folder.
    """
    folder = program_folder()
    if folder is None or jax.config.values["jax_compilation_cache_dir"]:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _log.info("compiled programs are not kept: %s", error)
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", MAX_COMPILED_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _MIN_SECONDS)
    # Otherwise an address that differs between processes would be part of the key.
    jax.config.update("jax_remove_custom_partitioning_ptr_from_cache_key", True)


class Shapes(NamedTuple):
    """Shapes of arrays in lists, tuples and dicts; they can be the key of a cache.

    Attributes:
      structure: structure of the lists, tuples and dicts, a `PyTreeDef`.
      leaves: shape and type of each array.
    """

    structure: Any
    leaves: tuple[jax.ShapeDtypeStruct, ...]

    @classmethod
    def of(cls, arrays: Any, sharding: Any = None) -> "Shapes":
        """Reads the shapes of arrays.

        Args:
          arrays: arrays in lists, tuples and dicts.
          sharding: where the arrays are or will be; `None` if it does not matter.
        """
        leaves, structure = jax.tree.flatten(arrays)
        return cls(
            structure,
            tuple(
                jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
                for x in leaves
            ),
        )

    @property
    def tree(self) -> Any:
        """The shapes, in the structure of the arrays."""
        return self.structure.unflatten(self.leaves)


class Program:
    """A function that a thread compiles from shapes, while other work goes on.

    The programs of a process are compiled one after the other, in the order in which
    they were made. The first call of a program waits until it is compiled.

    Args:
      function: function that takes and returns arrays in lists, tuples and dicts.
      shapes: `ShapeDtypeStruct`s of its arguments, perhaps with their sharding.
      name: name of the program, for messages and files.
      key: text of everything that the function depends on, besides the package's code,
        the shapes of its arguments and JAX's settings; empty for a program that is not
        kept.
      options: options of `jax.jit`.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        shapes: Sequence[Any],
        *,
        name: str,
        key: str = "",
        **options: Any,
    ) -> None:
        self.name = name
        self._done = threading.Event()
        self._compiled: Callable[..., Any] | None = None
        self._error: BaseException | None = None
        if jax.config.values["jax_disable_jit"]:  # somebody is debugging
            self._compiled = function
            self._done.set()
            return
        folder = program_folder() if key and jax.device_count() == 1 else None
        jit = functools.partial(jax.jit, **options)
        if folder is None:
            # Traced in this thread, which may have its own settings of JAX.
            traced = jit(_named(function, name)).trace(*shapes)

            def build() -> Callable[..., Any]:
                return traced.lower().compile()
        else:
            path = folder / _LOWERED / f"{name}-{_digest(key, shapes)}.stablehlo"

            def build() -> Callable[..., Any]:
                lowered = _read(path)
                if lowered is None:
                    # The program is read back before it is compiled. So the next run
                    # finds the same one in JAX's cache, and gets the same last bits.
                    found = jax.export.export(jit(_named(function, name)))(*shapes)
                    found = found.serialize()
                    _write(path, found)
                    lowered = jax.export.deserialize(found)
                _load_mosaic()
                return jit(_named(lowered.call, name)).lower(*shapes).compile()

        _work().put(lambda: self._build(build))

    def _build(self, build: Callable[[], Callable[..., Any]]) -> None:
        try:
            self._compiled = build()
        except BaseException as error:  # raised again where the program is called
            self._error = error
        finally:
            self._done.set()

    def wait(self) -> None:
        """Returns once the program is compiled.

        Raises:
          Exception: any error of tracing, lowering or compiling the program.
        """
        self._done.wait()
        if self._error is not None:
            raise self._error

    def __call__(self, *arguments: Any) -> Any:
        """Runs the program; see `wait` for its errors."""
        self.wait()
        assert self._compiled is not None
        return self._compiled(*arguments)


def _named(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Gives a function the name of its program, which JAX's log and profiles show."""

    def named(*arguments: Any) -> Any:
        return function(*arguments)

    named.__name__ = named.__qualname__ = name
    return named


@functools.cache
def _work() -> "queue.SimpleQueue[Callable[[], None] | None]":
    """Starts the thread that compiles.

    If Python ended while the thread is inside XLA, the process would abort. So the end
    of Python waits for the program that is being compiled, and drops all later ones. A
    signal does not wait.
    """
    jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def work() -> None:
        while (job := jobs.get()) is not None:
            job()

    thread = threading.Thread(target=work, name="compiler", daemon=True)
    thread.start()

    def finish() -> None:
        # Asking first if the queue is empty would not help: the thread takes jobs too.
        with contextlib.suppress(queue.Empty):
            while True:
                jobs.get_nowait()
        jobs.put(None)
        thread.join()

    atexit.register(finish)
    return jobs


def _digest(key: str, shapes: Sequence[Any]) -> str:
    """Hashes everything that a lowered program depends on."""
    settings = {
        name: str(value)
        for name, value in sorted(jax.config.values.items())
        if "cache" not in name
    }
    parts = (
        key,
        str(jax.tree.map(str, shapes)),
        package_sources(),
        *(importlib.metadata.version(name) for name in ("jax", "jaxlib")),
        jax.default_backend(),
        jax.devices()[0].device_kind,
        json.dumps(settings),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


@functools.cache
def package_sources() -> str:
    """Hashes the code of the package with the kernels, and without configurations.

    An installation has the same hash as the checkout that it was made from, where the
    kernels are in a folder beside the package.
    """
    roots = [Path(root) for root in damamba_jax.__path__]
    found = {}
    for root, folder in [(roots[0], ""), *((root, "kernels") for root in roots)]:
        files = (root / folder).rglob("*.py")
        found |= {file.relative_to(root): file for file in files}
    return hash_sources(
        found[name] for name in sorted(found) if name.parts[0] != "configs"
    )


def hash_sources(paths: Iterable[Path]) -> str:
    """Hashes Python files; links to folders are not followed.

    Args:
      paths: files, and folders whose Python files are hashed.
    """
    found = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            found.update(file.read_bytes())
    return found.hexdigest()


def _read(path: Path) -> jax.export.Exported | None:
    """Reads a lowered program; `None` if it is absent or cannot be read."""
    try:
        # JAX reads a flat buffer here; there is no pickle in it.
        lowered = jax.export.deserialize(bytearray(path.read_bytes()))
        os.utime(path)
    except FileNotFoundError:
        return None
    except Exception as error:  # damaged files and other versions raise any error
        _log.info("%s: made again, because it cannot be read: %s", path, error)
        return None
    return lowered


def _load_mosaic() -> None:
    """Loads the part of Mosaic that compiling the kernels of a GPU needs.

    XLA finds Mosaic's library by an environment variable that this module of JAX sets.
    Lowering a kernel loads the module, but reading a lowered kernel does not.
    """
    if jax.default_backend() == "gpu":
        importlib.import_module("jax.experimental.mosaic.gpu")


def _write(path: Path, lowered: bytes | bytearray) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(path) as file:
            file.write(lowered)
        _bound(path.parent)
    except OSError as error:
        _log.info("%s: not kept: %s", path, error)


def _bound(folder: Path) -> None:
    """Removes the least recently used files beyond `MAX_LOWERED_BYTES`."""
    files = [(file.stat(), file) for file in folder.glob("*.stablehlo")]
    total = sum(status.st_size for status, _ in files)
    for status, file in sorted(files, key=lambda found: found[0].st_mtime):
        if total <= MAX_LOWERED_BYTES:
            return
        file.unlink(missing_ok=True)
        total -= status.st_size
