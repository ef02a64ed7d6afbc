"""Words that people use in the names of files and columns, and their meanings."""

import re

SPLITS = re.compile(r"(train|val|valid|dev|test|eval)[a-z0-9_-]*", re.IGNORECASE)

_ROLES = frozenset(
    (
        "expert", "novice", "teacher", "pupil", "student", "tutor", "learner",
        "interviewer", "interviewee", "therapist", "patient", "client", "doctor",
        "host", "guest", "caller", "callee", "agent", "customer", "user", "operator",
        "parent", "child", "mother", "father", "adult", "left", "right", "me", "you",
        "participant", "confederate", "moderator", "leader", "follower",
    )
)  # fmt: skip
_NUMBERED_ROLE = re.compile(
    r"(subject|subjectpos|pos|person|speaker|spk|participant|player|seat|role)[_-]?\d",
    re.IGNORECASE,
)
_SESSION = re.compile(
    r"(session|sess|dyad|group|conversation|conv|recording|rec|meeting|video)?[_-]?\d+"
    r"|monday|tuesday|wednesday|thursday|friday|saturday|sunday",
    re.IGNORECASE,
)
_TURN = re.compile(r"(t|turn|utt|utterance|seg|segment|clip)(\d{1,6})", re.IGNORECASE)

# Words that say what a column or a file is. The earlier a word stands, the surer it is.
PERSON = (
    "who", "person", "participant", "speaker", "role", "subject", "pid", "name",
)  # fmt: skip
SESSION = (
    "session", "dyad", "conversation", "recording", "meeting", "group", "video", "file",
    "filename",
)  # fmt: skip
RATER = ("rater", "coder", "annotator", "judge", "observer")
TURN = ("turn", "utterance", "segment")
TIME = (
    "timestamp", "time", "frametime", "seconds", "second", "sec", "secs", "t", "ms",
    "msec", "milliseconds",
)  # fmt: skip
START = ("start", "from", "begin", "onset", "tmin")
END = ("end", "to", "stop", "offset", "tmax")
DURATION = ("duration", "dur", "length")
FRAME = ("frame",)
INDEX = ("index", "unnamed", "column", "row", "frame", "face", "input", "id", "n")
LABEL = (
    "engagement", "engaged", "enjoyment", "rating", "ratings", "label", "labels",
    "annotation", "annotations", "valence", "arousal", "interest", "attention", "score",
    "value",
)  # fmt: skip
CLASS = ("class", "classes", "category", "state", "level", "emotion")
_MILLISECONDS = frozenset(("ms", "msec", "msecs", "millisecond", "milliseconds"))

_AUDIO = frozenset(
    (
        "audio", "voice", "speech", "sound", "vocal", "acoustic", "egemaps", "gemaps",
        "opensmile", "smile", "mfcc", "wav2vec", "w2v", "w2vbert2", "hubert", "whisper",
        "prosody", "vad", "pitch", "loudness", "jitter", "shimmer", "f0", "pcm", "mel",
        "spectral", "hnr", "formant", "energy", "f0semitone", "logrelf0", "alpharatio",
        "soundnet", "trill", "wavlm", "text", "transcript", "bert",
    )
)  # fmt: skip
_VISUAL = frozenset(
    (
        "face", "facial", "video", "visual", "body", "pose", "gaze", "head", "hand",
        "hands", "openface", "openface2", "openpose", "pyfeat", "mediapipe", "clip",
        "dino", "videomae", "swin", "au", "aus", "landmark", "landmarks", "skeleton",
        "eye", "eyes", "mouth", "brow", "blendshapes", "resnet", "emonet", "kinect",
    )
)  # fmt: skip


def split_words(name: str) -> tuple[str, ...]:
    """Splits a name into words in lower case: `startTime_ms` has three."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return tuple(word for word in re.split(r"[\W_]+", spaced.lower()) if word)


def says(name: str, words: tuple[str, ...]) -> bool:
    """Says whether a name contains one of the words, perhaps with a number after it."""
    found = {re.sub(r"\d+$", "", word) or word for word in split_words(name)}
    return not found.isdisjoint(words)


def in_milliseconds(name: str) -> bool:
    """Says whether the name of a column names milliseconds as its unit."""
    return not _MILLISECONDS.isdisjoint(split_words(name))


def is_role(value: str) -> bool:
    """Says whether a value is a usual word for a participant."""
    return value.lower() in _ROLES or bool(_NUMBERED_ROLE.fullmatch(value))


def is_session(value: str) -> bool:
    """Says whether a value is a usual name of a session, such as a day or a number."""
    return bool(_SESSION.fullmatch(value))


def turn_prefix(values: list[str]) -> str | None:
    """Returns the common letters before numbers of turns; `None` for other values."""
    matches = [_TURN.fullmatch(value) for value in values]
    prefixes = {match[1] if match else "" for match in matches}
    return prefixes.pop() if len(prefixes) == 1 and all(matches) else None


def group_of(names: list[str]) -> str:
    """Returns `audio` or `visual`, by the words of names; empty if they do not tell."""
    words = [word for name in names for word in split_words(name)]
    bare = [re.sub(r"\d+$", "", word) for word in words]
    audio = sum(w in _AUDIO or b in _AUDIO for w, b in zip(words, bare, strict=True))
    visual = sum(w in _VISUAL or b in _VISUAL for w, b in zip(words, bare, strict=True))
    if audio == visual:
        return ""
    return "audio" if audio > visual else "visual"


def is_stem(value: str) -> bool:
    """Says whether a part of a file's name is a usual word for a kind of feature."""
    return bool(group_of([value]))
