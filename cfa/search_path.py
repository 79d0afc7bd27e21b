"""Where Python looks for modules. Nothing is imported here but what Python has loaded when it starts."""

import os
import sys


def forget_working_folder() -> None:
    """Take the working folder off the front of the path, where ``python -m`` puts it.

    A ``psutil.py`` that lies where somebody stands must not be run. What they name themselves is found by
    `cfa.trust`, last. Where it is the folder that this package itself is imported from, it goes to the end.
    """
    if not sys.path or sys.path[0] not in ("", os.getcwd()) or sys.flags.safe_path:
        return
    first = os.path.realpath(sys.path.pop(0) or os.getcwd())
    if first == os.path.dirname(os.path.dirname(os.path.realpath(__file__))):
        sys.path.append(first)
