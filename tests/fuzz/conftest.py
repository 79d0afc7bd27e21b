"""The longer runs take hours: they run where the command line asks for slow tests, and else are left out."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "slow" in config.option.markexpr:
        return  # pytest has chosen
    longer = [item for item in items if "fuzz" in item.path.parts and item.get_closest_marker("slow")]
    if longer:
        config.hook.pytest_deselected(items=longer)
        items[:] = [item for item in items if item not in longer]
