"""What is kept for some seconds is returned whatever it was asked with."""

from app.process.brief import kept_for

asked = []


@kept_for(60)
def length(text: str) -> int:
    asked.append(text)
    return len(text)


def test_values_are_kept_and_half_a_sign_is_asked_anew() -> None:
    for text in ("kept", "kept", "\ud800", "\ud800"):
        assert length(text) == len(text)
    assert asked == ["kept", "\ud800", "\ud800"]
    length.clear()
    assert length("kept") == 4
    assert asked.count("kept") == 2
