import pytest

from app import wording


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
        (wording.condition("pgd-10", "l2", 0.5), "PGD-10, 127.5/255 l2"),
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
