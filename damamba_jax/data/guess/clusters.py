"""Groups of files that have the same shape of name and the same columns."""

import dataclasses

from damamba_jax.data.guess import words
from damamba_jax.data.guess.columns import Columns
from damamba_jax.data.guess.contents import Content
from damamba_jax.data.guess.names import Name, Pattern


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Files with the same shape of name and the same columns.

    Args:
      names: names of the files.
      contents: first contents of each file.
      pattern: pattern of the names.
      columns: columns of tables; empty for other files.
    """

    names: tuple[Name, ...]
    contents: tuple[Content, ...]
    pattern: Pattern
    columns: Columns

    @property
    def kind(self) -> str:
        """The kind of the files, as in `Content.kind`."""
        return self.contents[0].kind

    @property
    def is_label_named(self) -> bool:
        """Whether the names of files, folders or columns speak of annotations."""
        texts = [*self.pattern.literals, *self.columns.values, *self.pattern_folders]
        return any(words.says(text, words.LABEL) for text in texts)

    @property
    def pattern_folders(self) -> list[str]:
        """Folders of the pattern that contain no field."""
        return [f for f in self.pattern.text.split("/")[:-1] if "{" not in f]


def split_by(cluster: Cluster, field: str) -> list[Cluster]:
    """Splits a cluster into one for each value of a field.

    The value takes the place of the field in the pattern.
    """
    if not cluster.pattern.values(field):
        return [cluster]
    found = []
    for value in cluster.pattern.values(field):
        here = [
            i
            for i, fields in enumerate(cluster.pattern.fields)
            if fields[field].lower() == value.lower()
        ]
        plain = value.replace("{", "{{").replace("}", "}}")
        pattern = Pattern(
            cluster.pattern.text.replace(f"{{{field}}}", plain),
            tuple(cluster.pattern.fields[i] for i in here),
            (*cluster.pattern.literals, value),
        )
        found.append(
            dataclasses.replace(
                cluster,
                names=tuple(cluster.names[i] for i in here),
                contents=tuple(cluster.contents[i] for i in here),
                pattern=pattern,
            )
        )
    return found
