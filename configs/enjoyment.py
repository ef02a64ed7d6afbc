"""Enjoyment of people in conversation with a robot (Pereira et al., ICMI 2024).

    python -m damamba_jax.crossval --config=configs/enjoyment.py \\
        --config.data.root=DIR

The public repository andre-pereira/ICMI2024LLMsEnjoymentDetection (CC BY 4.0; doi
10.1145/3678957.3685729) holds 25 conversations, which consist of exchanges. For each
exchange, it has the person's face at 10 Hz, statistics of the voice, the times that
each side spoke, and the ratings of three people from 1 to 5. `DIR` is a copy of the
repository. The preset `plain` reads the same files under simpler names, for any number
of people: `face/P1/P1_T1.csv`, `egemaps_per_turn.csv`, `turns/turn_taking_1.tsv` and
`enjoyment.csv`.

Every choice is ours. The ratings belong to exchanges, so exchanges are learned and
scored. Each conversation has one person, so leaving out a conversation leaves out a
person.
"""

from typing import NamedTuple

import ml_collections

from damamba_jax.config.presets import check_preset
from damamba_jax.configs import small


class Files(NamedTuple):
    """Patterns of the files of a copy of the corpus.

    Attributes:
      face: tables of the face, one for each exchange.
      voice: table of the statistics of the voice.
      turns: tables of the exchanges, one for each conversation.
      ratings: table of the ratings.
    """

    face: str
    voice: str
    turns: str
    ratings: str


FILES = {
    "repository": Files(
        face="video_features/P{session}/P{session}_T{turn}.csv",
        voice="Opensmile_features.csv",
        turns="turn_taking_annotations/turn_taking_{session}.tsv",
        ratings="Evaluation/Enjoyment dataset.csv",
    ),
    "plain": Files(
        face="face/P{session}/P{session}_T{turn}.csv",
        voice="egemaps_per_turn.csv",
        turns="turns/turn_taking_{session}.tsv",
        ratings="enjoyment.csv",
    ),
}

FACE = "Pitch,Roll,Yaw,AU*,anger,disgust,fear,happiness,sadness,surprise,neutral"
# These are the names in the table, with its spelling errors.
TIMING = (
    "Length-Exchange,Lenght-1stPause,Lenght-Robot,Lenght-2ndPause,Length-Person,"
    "Percentage-*"
)


def get_config(preset: str = "repository") -> ml_collections.ConfigDict:
    """Returns the configuration for a copy with the names of a preset.

    Args:
      preset: `repository` for the repository's names of files, or `plain`.
    """
    check_preset(__file__, preset, tuple(FILES))
    config = small.get_config()
    config.name = "enjoyment"
    _set_corpus(config, FILES[preset])
    return config


def _set_corpus(config: ml_collections.ConfigDict, files: Files) -> None:
    """Sets the places of the files and the meaning of their columns."""
    config.features = {
        "face": dict(
            dim=30,
            group="visual",
            rate=10.0,
            table=dict(
                files=files.face,
                columns=FACE,
                # The second column of this name counts the frames of the exchange.
                time="frame.1",
                time_unit="frames",
                frame_rate=10.0,
                time_zero="turn",
            ),
        ),
        "voice": dict(
            dim=88,
            group="audio",
            rate=2.0,
            table=dict(
                files=files.voice,
                rows="filename=P{session}_T{turn}",
                hold=True,
            ),
        ),
        "timing": dict(
            dim=9,
            group="audio",
            rate=2.0,
            table=dict(
                files=files.turns, columns=TIMING, rows="Turn={turn}", hold=True
            ),
        ),
    }
    config.data.features = "face,voice,timing"
    config.data.layout = dict(
        name="enjoyment",
        splits="all",
        roles="person",
        feature_path=files.face,
        label_path=files.ratings,
        label_rate=5.0,
        labels=dict(values="Turn {turn}", rows="Coder={rater},Participant={session}"),
        turns=dict(
            files=files.turns, turn="Turn", duration="Length-Exchange", time_unit="ms"
        ),
    )
    config.data.label_range = (1.0, 5.0)
    config.data.label_unit = "turn"
    config.data.train_splits = "enjoyment/all"
    config.optim.loss = "ccc-mean"
