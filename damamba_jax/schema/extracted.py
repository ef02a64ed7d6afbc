"""Features that `damamba extract` makes of recordings. No release holds them."""

from damamba_jax.config.sections import FeatureConfig

EXTRACTED_FEATURES = {
    feature.name: feature
    for feature in (
        # The probability that somebody speaks, in [0, 1].
        FeatureConfig(
            name="voice_activity",
            dim=1,
            group="audio",
            rate=25.0,
            stems=("audio.voice_activity", "voice_activity"),
        ),
        # Movements of the face, such as `jawOpen`, each in [0, 1].
        FeatureConfig(
            name="face_blendshapes",
            dim=52,
            group="visual",
            rate=25.0,
            stems=("face_blendshapes", "video.face_blendshapes"),
        ),
    )
}
