"""Published scores of the main table, as their sources print them.

The scores are test-set CCCs on NoXi Base, NoXi-Add and MPIIGroupInteraction, and their
mean. If two sources disagree, both rows are listed, each with its source. Nothing is
merged or corrected: the first source prints 0.54 as YKK's mean, although the mean of
its three columns is 0.57. `ABLATION` holds the paper's ablation table.
"""

from typing import NamedTuple

SOURCES = {
    # MultiMediate'24's final ranking, quoted by the authors of DAT.
    1: "github.com/MSA-LMC/DAT, README at 31dec8a",
    # The tables of arXiv 2509.17711; its main table leaves out USTC-IAT-United.
    2: "github.com/kksssssss-ssda/MMEA, README at 26cbf3c",
}


# First parts of the split names of the challenge's corpora.
CHALLENGE = ("noxi", "noxi-j", "noxij", "mpiigroupinteraction", "mpiigi", "mpii")


class PublishedRow(NamedTuple):
    """One published row.

    Attributes:
      method: name of the method in the source.
      base, add, mpiigi: test-set CCCs on NoXi Base, NoXi-Add and MPIIGroupInteraction.
      overall: their mean, as the source prints it.
      sources: keys of the `SOURCES` that print this row.
    """

    method: str
    base: float
    add: float
    mpiigi: float
    overall: float
    sources: tuple[int, ...]


PUBLISHED = (
    PublishedRow("MM24 baseline", 0.64, 0.51, 0.09, 0.41, (1, 2)),
    PublishedRow("YLYJ", 0.60, 0.52, 0.30, 0.47, (1, 2)),
    PublishedRow("YKK", 0.68, 0.66, 0.36, 0.54, (1,)),
    PublishedRow("YKK", 0.68, 0.66, 0.40, 0.58, (2,)),
    PublishedRow("SP-team", 0.68, 0.65, 0.34, 0.56, (1, 2)),
    PublishedRow("nox", 0.68, 0.66, 0.35, 0.57, (1,)),
    PublishedRow("nox", 0.68, 0.70, 0.31, 0.56, (2,)),
    PublishedRow("Xpace", 0.70, 0.70, 0.34, 0.58, (1, 2)),
    PublishedRow("ashk", 0.72, 0.69, 0.42, 0.61, (1, 2)),
    PublishedRow('Kumar et al. ("Syntax")', 0.72, 0.69, 0.50, 0.64, (1, 2)),
    PublishedRow("DAT (HFUT-LMC)", 0.76, 0.67, 0.49, 0.64, (1, 2)),
    PublishedRow("AI-lab", 0.69, 0.72, 0.54, 0.65, (1, 2)),
    PublishedRow("DA-Mamba (paper)", 0.77, 0.70, 0.52, 0.66, (2,)),
    PublishedRow("USTC-IAT-United", 0.72, 0.73, 0.59, 0.68, (1,)),
)

# The keys are those of `ablation.ROWS`. The source calls the two fusions "Mod-F" and
# "Part-F".
ABLATION = {
    "full": PublishedRow("DA-Mamba", 0.77, 0.70, 0.52, 0.66, (2,)),
    "no-modality-fusion": PublishedRow(
        "Mamba, partner fusion only", 0.75, 0.66, 0.48, 0.63, (2,)
    ),
    "no-partner-fusion": PublishedRow(
        "Mamba, modality fusion only", 0.74, 0.66, 0.51, 0.64, (2,)
    ),
    "no-fusion": PublishedRow("Mamba, no fusion", 0.68, 0.65, 0.45, 0.59, (2,)),
    "transformer": PublishedRow("Transformer encoder", 0.75, 0.64, 0.49, 0.63, (2,)),
}
