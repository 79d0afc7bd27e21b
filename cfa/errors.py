"""Errors that a user can act on: each message names the value at fault and the way out.

    CfaError
    ├── ConfigError      a setting outside its range, or settings that contradict each other
    │   └── Untrusted    somebody's code that nobody named here
    ├── UnknownName      a name that no registry, run or job answers to (with the nearest choices)
    ├── DataError        a data set that is missing, broken or too small for what is asked
    ├── CheckpointError  a weights file that is corrupt, foreign or of another shape
    ├── StoreError       a run folder, index or queue that cannot be read or written
    └── Diverged         a training loss that is no longer finite

They live in one file because every room raises them and the command line and the dashboard
turn them into one sentence.
"""


class CfaError(Exception):
    """Anything that CFA Studio can explain to its user in one sentence."""


class ConfigError(CfaError):
    """A setting is outside its range, or two settings contradict each other."""


class Untrusted(ConfigError):
    """A name of somebody's code stands in a file, and nobody named it in this command or form."""


class UnknownName(CfaError, LookupError):
    """No method, data set, model, attack, run or job has this name."""


class DataError(CfaError):
    """A data set is missing, broken, or too small for what is asked of it."""


class CheckpointError(CfaError):
    """A weights file is corrupt, foreign, or belongs to another network."""


class StoreError(CfaError):
    """A run folder, the index or the queue cannot be read or written."""


class Diverged(CfaError):
    """The training loss is no longer finite."""
