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
