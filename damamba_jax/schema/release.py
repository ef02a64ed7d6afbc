"""Features and annotations of the released corpora, by name."""

from collections.abc import Sequence

from damamba_jax.config.sections import FeatureConfig

RELEASED_FEATURES = {
    feature.name: feature
    for feature in (
        FeatureConfig(
            name="egemaps",
            dim=88,
            group="audio",
            rate=25.0,
            stems=("audio.egemapsv2", "egemapsv2", "audio.egemaps"),
        ),
        FeatureConfig(
            name="w2vbert2",
            dim=1024,
            group="audio",
            rate=25.0,
            stems=("audio.w2vbert2_embeddings", "w2vbert2_embeddings"),
        ),
        FeatureConfig(
            name="xlm_roberta",
            dim=768,
            group="text",
            rate=25.0,
            stems=("audio.xlm_roberta_embeddings", "xlm_roberta_embeddings"),
        ),
        FeatureConfig(
            name="clip",
            dim=512,
            group="visual",
            rate=25.0,
            stems=("clip", "video.clip"),
        ),
        # Columns 0 and 2 count frames and seconds, so they would tell the model the
        # position in the session.
        FeatureConfig(
            name="openface2",
            dim=714,
            group="visual",
            rate=25.0,
            stems=("openface2", "video.openface2"),
            drop_columns=(0, 2),
        ),
        FeatureConfig(
            name="openpose",
            dim=139,
            group="visual",
            rate=25.0,
            stems=("openpose", "video.openpose"),
            missing_value=-1.0,
        ),
        FeatureConfig(
            name="openface3",
            dim=21,
            group="visual",
            rate=25.0,
            stems=("openface3", "video.openface3"),
        ),
        FeatureConfig(
            name="dino",
            dim=768,
            group="visual",
            rate=25.0,
            stems=("dino", "video.dino"),
        ),
        FeatureConfig(
            name="swin",
            dim=768,
            group="visual",
            rate=25.0,
            stems=("swin", "video.swin"),
        ),
        FeatureConfig(
            name="videomae",
            dim=1408,
            group="visual",
            rate=25.0,
            stems=("videomae", "video.videomae"),
        ),
    )
}

# Numbers of columns of the features in simulated corpora: as many as in the release,
# or only a few.
REAL_DIMS = {
    "egemaps": 88,
    "w2vbert2": 1024,
    "clip": 512,
    "openface2": 714,
    "openpose": 139,
}
DEMO_DIMS = {"egemaps": 8, "w2vbert2": 12, "clip": 10, "openface2": 10, "openpose": 8}

# Annotations, by the names of their files, and their classes in the official order.
# Annotations without classes hold values within [0, 1].
ANNOTATIONS: dict[str, tuple[str, ...]] = {
    "engagement": (),
    "task_engagement": ("goaloriented", "aimless", "adultseeking", "noplay"),
    "social_engagement": (
        "solitary",
        "onlooker",
        "parallel",
        "associative",
        "cooperative",
    ),
}


def annotation_of(classes: Sequence[str]) -> str:
    """Returns the annotation that has these classes, in any order; else empty."""
    wanted = sorted(classes)
    return next((n for n, own in ANNOTATIONS.items() if sorted(own) == wanted), "")


def official_numbers(classes: Sequence[str]) -> list[int]:
    """Returns the official number of each class, which a configuration may reorder.

    Classes of no released annotation keep their own numbers.
    """
    official = ANNOTATIONS.get(annotation_of(classes)) or tuple(classes)
    return [official.index(name) for name in classes]
