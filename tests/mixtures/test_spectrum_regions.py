import pytest

from nmrclassify.mixtures import spectrum_regions


def test_regions_survive_as_text():
    regions = ((4.58, 4.92), (-0.2, 0.2), (7.0, 7.0))
    assert spectrum_regions.from_text(spectrum_regions.to_text(regions)) == regions


@pytest.mark.parametrize(
    "text",
    ["", "4", "4_3", "4_x", "nan_5", "4_inf", "1_2_3", "1_2~", "-21_0", "~".join(["1_2"] * 9)],
)
def test_other_text_is_refused(text):
    with pytest.raises(ValueError, match="expected 1 to 8 regions"):
        spectrum_regions.from_text(text)


USUAL = ((-0.2, 0.2), (4.58, 4.92))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (4.3, 5.1, ((-0.2, 0.2), (4.3, 5.1))),  # wider
        (5.1, 4.803, ((-0.2, 0.2), (4.8, 5.1))),  # moved, dragged from left to right
        (7.0, 7.3, (*USUAL, (7.0, 7.3))),
        (-1, 5, ((-1, 5),)),  # both
    ],
)
def test_a_cut_takes_the_place_of_what_it_touches(low, high, expected):
    assert spectrum_regions.cut(USUAL, low, high) == expected


def test_a_cut_beside_many_others_takes_the_place_of_the_nearest():
    many = tuple((float(i), i + 0.5) for i in range(8))
    assert spectrum_regions.cut(many, 3.6, 3.8) == (*many[:3], (3.6, 3.8), *many[4:])
    assert spectrum_regions.cut(many, 50, 60)[-1] == (40, 40)  # beyond what a link may state


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (4.5, 4.7, ((-0.2, 0.2), (4.7, 4.92))),
        (4.7, 4.8, ((-0.2, 0.2), (4.58, 4.7), (4.8, 4.92))),
        (4.5, 5.0, ((-0.2, 0.2),)),
        (7.0, 8.0, USUAL),
        (-1.0, 5.0, ((-1.0, -1.0),)),
    ],
)
def test_what_is_kept_is_cut_no_more(low, high, expected):
    rest = spectrum_regions.keep(USUAL, low, high)
    assert rest == expected
    assert spectrum_regions.from_text(spectrum_regions.to_text(rest)) == rest


def test_no_region_is_lost_where_keeping_would_make_too_many():
    full = tuple((float(i), i + 0.5) for i in range(spectrum_regions.MAX_REGIONS))
    assert spectrum_regions.keep(full, 3.2, 3.3) == full
