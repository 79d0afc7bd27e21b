import pytest

from tests.support.require import require

SKIPPED, FAILED = pytest.skip.Exception, pytest.fail.Exception


@pytest.mark.parametrize("required", ["", "browser", "gpu, browser"])
def test_what_is_there_is_used(monkeypatch, required):
    monkeypatch.setenv("CFA_REQUIRE", required)
    require("browser", "/usr/bin/chromium", "there is no Chromium")


@pytest.mark.parametrize(
    ("required", "outcome"),
    [
        (None, SKIPPED),
        ("", SKIPPED),
        ("torchattacks", SKIPPED),
        ("browsers", SKIPPED),
        ("browser", FAILED),
        ("torchattacks, browser", FAILED),
    ],
)
def test_what_is_missing_is_a_skip_unless_it_was_promised(monkeypatch, required, outcome):
    monkeypatch.delenv("CFA_REQUIRE", raising=False)
    if required is not None:
        monkeypatch.setenv("CFA_REQUIRE", required)
    with pytest.raises(outcome, match="there is no Chromium"):
        require("browser", None, "there is no Chromium")
