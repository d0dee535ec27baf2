"""All settings of the processing of a spectrum, and the regions that are cut for each solvent."""

import json
from dataclasses import asdict, dataclass, fields

from nmrclassify.config import bounded, check
from nmrclassify.files import quoted
from nmrclassify.nmr.titration import PH_BOUNDS, TABLE_PH

REFERENCES = ("auto", "standard", "library", "by hand", "off")
PH_FROM = ("auto", "estimate", "by hand")
SHAPES = ("auto", "Lorentzian")
MAX_REGIONS = 50
# Regions in ppm at 25 °C, of the solvent's residual protons and of the water in it
# (H. E. Gottlieb et al., J. Org. Chem. 62, 7512 (1997)).
SOLVENTS: dict[str, tuple[tuple[float, float], ...]] = {
    "water": ((4.58, 4.92),),
    "DMSO": ((2.44, 2.56), (3.25, 3.45)),
    "chloroform": ((7.20, 7.32), (1.50, 1.62)),
    "methanol": ((3.28, 3.34), (4.75, 4.98)),
    "acetone": ((2.02, 2.08), (2.78, 2.88)),
    "acetonitrile": ((1.91, 1.97), (2.08, 2.18)),
}
_SOLVENT_NAMES = {
    "water": ("d2o", "h2o", "water", "deuterium oxide", "urine", "plasma", "serum"),
    "DMSO": ("dmso", "dimethyl"),
    "chloroform": ("cdcl", "chloroform", "chcl3"),
    "methanol": ("cd3od", "meod", "methanol", "meoh", "ch3oh"),
    "acetonitrile": ("cd3cn", "acetonitrile", "mecn"),
    "acetone": ("acetone", "(cd3)2co"),
}
REFERENCE_REGION = (-0.2, 0.2)  # ppm


@dataclass(frozen=True)
class ProcessingRecipe:
    """All settings of the processing.

    Attributes
    ----------
    reference : str
        One of `REFERENCES`; "auto" is "standard", corrected where the library fits clearly
        better close by, and "library" where none is found.
    ph_from : str
        One of `PH_FROM`; "estimate" searches the pH of any mixture, "auto" that of a spectrum: the
        peaks of a table have the pH of the library.
    ph : float
        Of the sample, by hand.
    solvent : str
        A key of `SOLVENTS`, or "" for the solvent that the file states, or else water.
    regions : tuple of (float, float), optional
        Regions to cut in ppm, instead of the solvent's and the reference's.
    shape : str
        One of `SHAPES`; "auto" estimates the share of a Gaussian in the lines.
    """

    baseline: bool = True
    reference: str = "auto"
    shift: float = bounded(0.0, -20.0, 20.0, "ppm that are added to the axis by hand")
    max_offset: float = bounded(
        0.3, 0.01, 0.5, "largest shift that is searched with the library, in ppm"
    )
    ph_from: str = "auto"
    ph: float = bounded(TABLE_PH, *PH_BOUNDS, "pH of the sample by hand")
    cut: bool = True
    solvent: str = ""
    regions: tuple[tuple[float, float], ...] | None = None
    threshold: float = bounded(
        3.5, 2.0, 100.0, "standard deviations of the noise that a line must exceed"
    )
    fit: bool = True
    shape: str = "auto"

    def __post_init__(self) -> None:
        """Check the values."""
        check(self)
        for name, value, allowed in (
            ("reference", self.reference, REFERENCES),
            ("ph_from", self.ph_from, PH_FROM),
            ("shape", self.shape, SHAPES),
            ("solvent", self.solvent, ("", *SOLVENTS)),
        ):
            if value not in allowed:
                expected = ", ".join(map(repr, allowed))
                raise ValueError(f"{name} is {value!r}; expected one of {expected}")
        if self.regions is None:
            return
        try:
            regions = tuple((float(low), float(high)) for low, high in self.regions)
        except (TypeError, ValueError):
            raise ValueError(
                f"regions are {quoted(str(self.regions))}; expected pairs of ppm"
            ) from None
        if len(regions) > MAX_REGIONS:
            raise ValueError(f"there are {len(regions)} regions; expected {MAX_REGIONS} at most")
        for low, high in regions:
            if not -1000 <= low < high <= 1000:
                raise ValueError(f"a region is {low:g} to {high:g} ppm; expected the lower first")
        object.__setattr__(self, "regions", regions)

    def to_json(self) -> str:
        """Return the recipe as JSON, which `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "ProcessingRecipe":
        """Read a recipe; what is missing has its default.

        Raises
        ------
        ValueError
            If it is no such JSON, or a value is out of bounds.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the recipe is no JSON ({str(error)[:60]})") from None
        known = {item.name for item in fields(cls)}
        if not isinstance(values, dict) or set(values) - known:
            raise ValueError(
                f"the recipe is {quoted(text[:60])}; expected an object with some of"
                f" {', '.join(sorted(known))}"
            )
        return cls(**values)


USUAL = ProcessingRecipe()


def regions_of(recipe: ProcessingRecipe, stated: str) -> tuple[tuple[float, float], ...]:
    """Return the regions to cut in ppm; `stated` is the solvent as a file states it."""
    if not recipe.cut:
        return ()
    if recipe.regions is not None:
        return recipe.regions
    return (REFERENCE_REGION, *SOLVENTS[recipe.solvent or solvent_of(stated)])


def solvent_of(stated: str) -> str:
    """Return the key of `SOLVENTS` for a solvent as a file states it; water if it is unknown."""
    text = stated.lower()
    for name, words in _SOLVENT_NAMES.items():
        if any(word in text for word in words):
            return name
    return "water"
