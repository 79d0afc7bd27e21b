import pytest

from app import wording
from cfa.attacks import torchattacks_title


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (wording.percent(0.1234), "12.3 %"),
        (wording.percent(1.0), "100.0 %"),
        (wording.percent(None), "–"),
        (wording.percent(float("nan")), "–"),
        (wording.points(-0.0512), "−5.1"),
        (wording.points(0.06), "+6.0"),
        (wording.percent_range(0.1, 0.25), "10.0 – 25.0 %"),
        (wording.eps_255(8 / 255), "8/255"),
        (wording.eps_255(0.5 * 15 / 255), "7.5/255"),
        (wording.attack_title("pgd-20"), "PGD-20"),
        (wording.attack_title("pgd-20-best"), "PGD-20 best"),
        (wording.attack_title("clean"), "clean"),
        (wording.condition("clean", "none", 0.0), "clean images"),
        (wording.condition("pgd-10", "linf", 8 / 255), "PGD-10, 8/255"),
        (wording.condition("pgd-10", "l2", 0.5), "PGD-10, 0.5 L2"),
        (wording.duration(None), "–"),
        (wording.duration(float("inf")), "–"),
        (wording.duration(59.4), "59 s"),
        (wording.duration(61), "1 min 01 s"),
        (wording.duration(3 * 3600 + 120), "3 h 02 min"),
        (wording.duration(50 * 3600), "2 d 2 h"),
        (wording.rate(812.4, "images"), "812 images/s"),
        (wording.rate(0.25, "epochs"), "4.0 s per epoch"),
        (wording.file_size(12), "12 B"),
        (wording.file_size(1_234_567), "1.2 MB"),
        (wording.moment("2026-11-25T04:14:00+01:00"), "2026-11-25 03:14"),
        (wording.moment(""), "–"),
        (wording.moment("some day"), "some day"),
        (wording.count(1, "run"), "1 run"),
        (wording.count(2, "run"), "2 runs"),
        (wording.count(0, "class", "classes"), "0 classes"),
    ],
)
def test_numbers_read_as_people_write_them(written, expected):
    assert written.replace("\u00a0", " ") == expected


@pytest.mark.parametrize(
    ("attack", "title"),
    [
        ("autoattack/square", "AutoAttack: Square"),
        ("autoattack(apgd-ce,square)", "AutoAttack (APGD-CE, Square)"),
        ("pgd-100@255/255", "PGD-100, 255/255"),
        ("cw-30-best-r5", "CW-30 best r5"),
        ("torchattacks:MIFGSM", "torchattacks MIFGSM"),
        ("mine.attacks:strong", "mine.attacks:strong"),
    ],
)
def test_attacks_are_named_as_papers_do(attack, title):
    assert wording.attack_title(attack) == title


def test_the_other_autoattack_is_never_called_that():
    # The engine and the dashboard have to say the same.
    assert wording.attack_title("torchattacks:AutoAttack") == torchattacks_title("torchattacks:AutoAttack")
    assert not wording.attack_title("torchattacks:AutoAttack").startswith("AutoAttack")


@pytest.mark.parametrize(
    ("norm", "eps", "words"),
    [("linf", 8 / 255, "8/255"), ("l2", 0.5, "0.5 L2"), ("l1", 12.0, "12 L1"), ("l0", 5.0, "5 pixels")],
)
def test_a_budget_is_written_as_its_norm_is(norm, eps, words):
    assert wording.budget(norm, eps) == words
