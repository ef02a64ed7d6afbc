"""Extracts features from recordings (sound and video), as streams at 25 Hz.

    damamba extract --input=FOLDER --out=DIR --features=egemaps,voice_activity

FOLDER is a corpus, a session, or one recording. A recording is SESSION/ROLE.wav,
ROLE.mp4 and so on, with one person in a file; ROLE.audio.wav and ROLE.video.mp4 are
read as well. The streams are written to DIR as SESSION/ROLE.STEM.stream, like those of
the releases, below the same splits. Row i stands for the time from i/25 to (i+1)/25 s.
For a video, it describes the picture that is shown at i/25 s. For a sound, it describes
nothing that comes after the end of the row.

    egemaps           88 columns  openSMILE, over 1 s
    voice_activity     1 column   Silero's network; the package brings its weights
    w2vbert2        1024 columns  w2v-BERT 2.0, over 1 s      --model.w2vbert2=DIR
    clip             512 columns  CLIP ViT-B/32               --model.clip=DIR
    face_blendshapes  52 columns  MediaPipe Face Landmarker   --model.face=FILE

The command downloads nothing. Download the weights yourself, and say where they are.
DIR of a model holds config.json, preprocessor_config.json and model.safetensors of
https://huggingface.co/facebook/w2v-bert-2.0 or openai/clip-vit-base-patch32. FILE is
face_landmarker.task. The packages that are needed come with pip install '.[extract]',
for faces with '.[extract-face]', and for w2vbert2 and clip, which need PyTorch, with
'.[extract-transformers]'.

openSMILE is licensed by audEERING for private, research and educational use; commercial
products need another licence.

After an interruption, the same command continues where it stopped. Complete streams are
kept, unless the recording, the weights or a version has changed. The exit status is 1
if a recording could not be read.
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from damamba_jax.data.extraction.extractors import (
    EXTRACTORS,
    MODEL_FLAGS,
    make_extractor,
)
from damamba_jax.data.extraction.run import extract_recordings
from damamba_jax.runtime.command import run, show_log
from damamba_jax.runtime.parser import Parser, some_of
from damamba_jax.runtime.stop import StopRequest


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = make_parser().parse(argv)
    return run(functools.partial(_extract, options), console=show_log())


def _extract(options: argparse.Namespace, stop: StopRequest, console: Console) -> int:
    given = {flag: getattr(options, flag) for flag in MODEL_FLAGS}
    models = {flag: Path(path) for flag, path in given.items() if path}
    made = extract_recordings(
        Path(options.input),
        Path(options.out),
        [make_extractor(name, models) for name in dict.fromkeys(options.features)],
        stop=stop,
        console=console,
    )
    console.print(
        f"extracted: {made.written} written, {made.kept} kept, {made.failed} failed; "
        f"in {options.out}"
    )
    return 1 if made.failed else 0


def make_parser() -> Parser:
    """Makes the parser of this command."""
    parser = Parser("extract", __doc__)
    add = parser.add_argument
    add("--input", required=True, metavar="PATH", help="the recordings")
    add("--out", required=True, metavar="DIR", help="folder for the streams")
    add(
        "--features", required=True, type=some_of(*EXTRACTORS), metavar="NAME,NAME",
        help=f"features to extract: one or more of {', '.join(EXTRACTORS)}",
    )  # fmt: skip
    for flag in MODEL_FLAGS:
        add(
            f"--model.{flag}", dest=flag, default="", metavar="PATH",
            help=f"file or folder of the weights of {flag}",
        )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
