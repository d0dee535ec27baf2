"""Names of the columns of a table, in the forms in which spectrometers and papers write them."""

import re

# A unit in brackets, behind a slash, or as the last word.
_LONGEST = 80  # characters of a name that has a meaning here
_UNIT = re.compile(
    r"(?P<name>.*?)(?: ?\( ?(?P<round>[^()]*?) ?\)| ?\[ ?(?P<square>[^\[\]]*?) ?\]"
    r"| ?/ ?(?P<slash>[^/]*)| (?P<word>ppm|hz))"
)
_NO_UNIT = {"", "a.u.", "a.u", "au", "arb. u.", "arb. units", "arbitrary units", "rel.", "counts"}
_SHIFT = {"", "x", "1h", "shift", "chemical shift", "chemical shifts", "δ", "δ 1h", "delta", "d"}
_SHIFT |= {"f1", "f2", "peak", "position", "1h chemical shift", "1h shift", "frequency"}
_SHIFT_ITSELF = {"chemical shift", "chemical shifts", "1h chemical shift", "δ", "delta"}
_COUPLING = {"j", "coupling", "couplings", "coupling constant", "coupling constants"}
_DIFFERENCE = {"dnu", "delta nu", "δν", "shift difference"}  # of an AB quartet
_SIZES = {
    "intensity": "intensity",
    "intensities": "intensity",
    "relative intensity": "intensity",
    "signal": "intensity",
    "amplitude": "intensity",
    "real": "intensity",  # beside an imaginary part, which is not read
    "area": "area",
    "peak area": "area",
    "integral": "area",
    "height": "height",
    "peak height": "height",
}


def column_name(text: str) -> str:
    """Return the name of a column without its unit, as readers know it; other names in lower case.

    A chemical shift in ppm is "ppm", a coupling in Hz "j_hz", the shift difference of an AB quartet
    in Hz "dnu_hz". A shift in Hz keeps its name, which
    no reader knows.
    """
    name = " ".join(text.strip().strip('"').lower().split())
    if len(name) > _LONGEST:
        return name
    found = _UNIT.fullmatch(name.replace("_", " "))
    if found is None:
        if name.replace("_", " ") in _SHIFT_ITSELF:
            return "ppm"
        return "j_hz" if name == "j" else _SIZES.get(name.replace("_", " "), name)
    unit = next((found[key] for key in ("round", "square", "slash", "word") if found[key]), "")
    base = found["name"].strip()
    if unit == "ppm" and base in _SHIFT:
        return "ppm"
    if base == "ppm" and unit in {"1h", "δ", "f1", "f2"}:
        return "ppm"
    if unit == "hz" and base in _COUPLING:
        return "j_hz"
    if unit == "hz" and base in _DIFFERENCE:
        return "dnu_hz"
    return _SIZES.get(base, name) if unit in _NO_UNIT else name
