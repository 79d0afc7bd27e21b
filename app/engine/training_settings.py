"""What can be trained, how it is configured, and what is read of a configuration."""

from app.process.rights import looks
from cfa import config, methods
from cfa.config import RunConfig as RunConfig
from cfa.methods import FIRST_METHOD as FIRST_METHOD
from cfa.methods import KINDS as KINDS
from cfa.methods import METHODS as METHODS
from cfa.methods import PRESETS as PRESETS
from cfa.methods import Grid as Grid
from cfa.runs import trusted

# The engine's own: they compute from what they are given, and import no code that a name stands for.
code_of = looks(trusted.code_of)
config_differences = looks(methods.config_differences)
configure = looks(methods.configure)
default_model = looks(methods.default_model)
default_preset = looks(methods.default_preset)
display_name = looks(methods.display_name)
distinct_seeds = looks(config.distinct_seeds)
family_of = looks(methods.family_of)
kind_of = looks(methods.kind_of)
kind_of_setting = looks(methods.kind_of_setting)
main_settings = looks(methods.main_settings)
plain_methods = looks(methods.plain_methods)
settings_of = looks(methods.settings_of)
