"""Opens the corpus of a configuration, recorded or drawn."""

from rich.console import Console

from damamba_jax.config.sections import DataConfig
from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.corpus import sessions
from damamba_jax.data.corpus.label_source import Scale
from damamba_jax.data.simulated import write as simulated_write
from damamba_jax.errors import ConfigError
from damamba_jax.runtime.command import make_console
from damamba_jax.runtime.progress import ProgressLine


def open_corpus(
    data: DataConfig,
    *,
    root: str = "",
    labels_root: str = "",
    console: Console | None = None,
) -> sessions.CorpusIndex:
    """Indexes the corpus in `root`, in `data.root`, or else the simulated corpus.

    Args:
      data: the `data` section of the configuration.
      root: a folder that is used in place of `data.root`; empty for none.
      labels_root: a folder that is used in place of `data.labels_root`; empty for none.
      console: the console that shows the progress; `None` makes one.

    Raises:
      ConfigError: if there is neither a root nor a simulated corpus, or if classes are
        asked of the simulated corpus, which has none.
    """
    root = root or data.root
    if not root and not data.simulated:
        raise ConfigError(
            "`data.root`: expected the folder of the corpus, since no simulated corpus "
            "can take its place, got nothing. Give --config.data.root=DIR."
        )
    if data.classes and not root:
        raise ConfigError(
            "`data.classes`: the annotations of the simulated corpus are numbers on a "
            "scale; set `data.root` to a corpus with classes."
        )
    if not root:
        title = f"writing the simulated corpus {data.simulated!r}"
        with ProgressLine(title, console or make_console(), unit="sessions") as line:
            root = str(
                simulated_write.ensure_corpus(
                    data.simulated,
                    data.cache_dir,
                    progress=lambda progress: line(progress.done, progress.total),
                )
            )
    return corpus_index.index(
        root,
        features=data.features,
        labels_root=labels_root or data.labels_root,
        layout=data.layout,
        scale=Scale.of(data),
        cache_dir=data.cache_dir,
        exclude=data.exclude,
        skip_damaged=data.on_error == "skip",
    )
