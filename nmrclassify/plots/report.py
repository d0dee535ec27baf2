"""A report on one mixture, as one HTML file that loads nothing."""

import platform
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
import torch

import nmrclassify
from nmrclassify.evaluation.concentrations import KnownConcentration, concentration_table
from nmrclassify.evaluation.evidence import (
    evidence,
    sentence,
    unexplained_peaks,
    unexplained_share,
)
from nmrclassify.evaluation.identify import Identification
from nmrclassify.mixtures.peak_files import PeakSample
from nmrclassify.mixtures.spectrum import Spectrum
from nmrclassify.nmr.axis import Axis
from nmrclassify.plots.processed_spectrum import sampled

MAX_COMPOUNDS = 300  # in the table
MAX_NOT_NAMED = 12
WIDTH, HEIGHT = 1000, 300  # of the picture
_N_POINTS = 2000
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: #1f2430; background: #fff }
table { border-collapse: collapse; margin: .5rem 0 1.5rem }
td, th { padding: .2rem .8rem .2rem 0; text-align: left; border-bottom: 1px solid #dfe3ea }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
svg { width: 100%; height: auto } code { overflow-wrap: anywhere }
"""


def report(
    prediction: Identification,
    sample: PeakSample,
    file: str,
    library: str,
    known: KnownConcentration | None = None,
) -> str:
    """Return the report on a mixture from a file.

    Parameters
    ----------
    sample : PeakSample
        What was read from the file, and how it was processed.
    file, library : str
        Their names, as plain text.
    known : KnownConcentration, optional
        Makes the amounts absolute.

    Returns
    -------
    str
        An HTML document without scripts and without addresses.
    """
    done, axis = sample.processed, prediction.peaks.axis
    stated = {} if sample.spectrum is None else sample.spectrum.metadata
    ph = [] if sample.acid_base is None else [sample.acid_base.fact]
    facts = [f"{axis.mhz:.4g} MHz", *ph, *(f"{key}: {value}" for key, value in stated.items())]
    parts = [
        f"<h1>{escape(file)}</h1>",
        f"<p>{escape(' · '.join(facts))}</p>",
        _picture(prediction, sample),
        f"<p>{escape(' '.join(filter(None, (sample.note, prediction.note))))}</p>",
        f"<h2>{len(prediction.named)} compounds are named</h2>",
        f"<p>Library: {escape(library)}. Named from a probability of"
        f" {prediction.threshold:.2f}.</p>",
        _compounds(prediction, sample, known),
        *_not_named(prediction, sample),
        "<h2>What no named compound explains</h2>",
        f"<p>{unexplained_share(prediction):.1%} of the area. The largest peaks:</p>",
        _unexplained(prediction),
    ]
    if done is not None:
        steps = ((step.name, step.sentence) for step in done.steps)
        parts += [
            "<h2>Processing</h2>",
            _table(("step", "what it did"), steps),
            f"<p>Recipe: <code>{escape(done.recipe.to_json())}</code></p>",
        ]
    versions = {
        "nmrclassify": nmrclassify.__version__,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "PyTorch": torch.__version__,
    }
    stated_versions = ", ".join(f"{name} {version}" for name, version in versions.items())
    parts.append(f"<h2>Versions</h2><p>{escape(stated_versions)}</p>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(file)}</title><style>{_STYLE}</style></head><body>"
        + "\n".join(parts)
        + "</body></html>\n"
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Return a table; the columns of `numbers` are aligned at the right."""

    def row(cells: Sequence[str], tag: str) -> str:
        marked = (
            f"<{tag}{' class=n' if i in numbers else ''}>{escape(cell)}</{tag}>"
            for i, cell in enumerate(cells)
        )
        return f"<tr>{''.join(marked)}</tr>"

    return f"<table>{row(heads, 'th')}{''.join(row(cells, 'td') for cells in rows)}</table>"


def _cut(sample: PeakSample) -> tuple[tuple[float, float], ...]:
    return () if sample.processed is None else sample.processed.regions


def _not_named(prediction: Identification, sample: PeakSample) -> list[str]:
    """Return why the likeliest of the other compounds are not named."""
    order = np.argsort(-prediction.probabilities, kind="stable")
    order = order[prediction.first_of_group[order] == order]
    rest = order[~prediction.is_named[order]][:MAX_NOT_NAMED]
    if not len(rest):
        return []
    rows = [
        (
            prediction.compounds.names[k],
            sentence(prediction, k, evidence(prediction, k, _cut(sample))),
        )
        for k in rest.tolist()
    ]
    return ["<h2>The likeliest that are not named</h2>", _table(("compound", "why"), rows)]


def _compounds(
    prediction: Identification, sample: PeakSample, known: KnownConcentration | None
) -> str:
    cut, rows = _cut(sample), []
    concentrations = concentration_table(prediction, prediction.named, known)
    for k, concentration in zip(
        prediction.named[:MAX_COMPOUNDS].tolist(), concentrations.to_numpy(), strict=False
    ):
        found = evidence(prediction, k, cut)
        equal = np.flatnonzero(prediction.groups == prediction.groups[k])
        names = " = ".join(prediction.compounds.names[j] for j in equal[:4])
        place = prediction.places(prediction.multiplets_of(k)[:1])[0]
        part = prediction.separated(k).sum() / prediction.peaks.areas.sum()
        rows.append(
            (
                names,
                f"{prediction.probabilities[k]:.1%}",
                f"{concentration[0]:.3g} ({concentration[1]:.3g} to {concentration[2]:.3g})",
                f"{part:.1%}",
                f"{place:.3f}",
                f"{int(found.speaks_for.sum())} of {len(found)}",
                f"{int(found.speaks_against.sum())}",
            )
        )
    heads = (
        "compound",
        "probability",
        f"{concentrations.columns[0]} (90% interval)",
        "of the whole area",
        "largest multiplet (ppm)",
        "lines found",
        "lines missing",
    )
    said = ""
    if known is not None:
        said = f"<p>By {escape(known.name)}: {known.mm:g} mM.</p>"
    return _table(heads, rows, range(1, 7)) + said


def _unexplained(prediction: Identification) -> str:
    peaks, areas = unexplained_peaks(prediction)
    whole = float(prediction.peaks.areas.sum())
    rows = (
        (f"{ppm:.4f}", f"{area / whole:.2%}")
        for ppm, area in zip(prediction.peaks.ppm[peaks], areas, strict=True)
    )
    return _table(("ppm", "of the whole area"), rows, (0, 1))


def _picture(prediction: Identification, sample: PeakSample) -> str:
    """Return the spectrum as SVG; sticks for a list of peaks."""
    peaks = prediction.peaks
    low = max(float(peaks.ppm.min()) - 0.3, peaks.axis.low)
    high = min(float(peaks.ppm.max()) + 0.3, peaks.axis.high)
    done = sample.processed
    shown = sample.spectrum if done is None else done.spectrum

    def x(ppm: np.ndarray) -> np.ndarray:
        return (high - ppm) / (high - low) * WIDTH

    def y(heights: np.ndarray, top: float) -> np.ndarray:
        return HEIGHT - np.clip(heights / top, -0.05, 1.0) * (HEIGHT - 20)

    drawn = []
    if shown is None:
        top = float(peaks.areas.max())
        ends = zip(x(peaks.ppm), y(peaks.areas, top), strict=True)
        path = "".join(f"M{a:.1f} {HEIGHT}V{b:.1f}" for a, b in ends)
        drawn.append(f'<path d="{path}" stroke="#0072b2" fill="none"/>')
    else:
        curves = [("#7b8494", shown.heights)]
        if done is not None:
            curves.append(("#0072b2", done.fitted))
            for region in done.regions:
                left, right = np.clip(x(np.array(region[::-1])), 0, WIDTH)
                drawn.append(
                    f'<rect x="{left:.1f}" y="0" width="{right - left:.1f}" height="{HEIGHT}"'
                    ' fill="#dfe3ea"/>'
                )
        top = max(float(_within(shown, shown.heights, peaks.axis, low, high)[1].max()), 1e-9)
        for colour, heights in curves:
            ppm, curve = _within(shown, heights, peaks.axis, low, high)
            points = " ".join(
                f"{a:.1f},{b:.1f}" for a, b in zip(x(ppm), y(curve, top), strict=True)
            )
            drawn.append(f'<polyline points="{points}" stroke="{colour}" fill="none"/>')
    for tick in np.arange(np.ceil(low), np.floor(high) + 1):
        place = float(x(np.array(tick)))
        drawn.append(
            f'<path d="M{place:.1f} {HEIGHT + 16}v5" stroke="#1f2430"/><text x="{place:.1f}"'
            f' y="{HEIGHT + 36}" text-anchor="middle" font-size="14">{tick:g}</text>'
        )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 60}" role="img" aria-label="Spectrum">'
        f"{''.join(drawn)}"
        f'<text x="{WIDTH / 2}" y="{HEIGHT + 56}" text-anchor="middle" font-size="14">chemical'
        " shift (ppm). Blue: fitted lines or peaks; grey: the spectrum.</text></svg>"
    )


def _within(
    spectrum: Spectrum, heights: np.ndarray, axis: Axis, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return ppm and heights of a range, as at most `_N_POINTS` points."""
    start, step, curve = sampled(spectrum, heights, axis, 8 * _N_POINTS)
    ppm = start + step * np.arange(len(curve))
    inside = (ppm >= low) & (ppm <= high)
    ppm, curve = ppm[inside], curve[inside]
    if not len(curve):
        return np.array([low]), np.zeros(1)
    size = -(-len(curve) // _N_POINTS)
    first = np.arange(0, len(curve), size)
    return ppm[first], np.maximum.reduceat(curve, first)
