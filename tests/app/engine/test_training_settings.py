"""What is read of a configuration."""

from app.engine import training_settings


def test_external_weights_have_no_preset_to_differ_from(example_home):
    config = training_settings.RunConfig(method="external", dataset="d", model="m", preset="external")
    assert training_settings.config_differences(config) == {}
