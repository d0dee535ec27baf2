"""Mixtures on a grid: seeded sums of compounds, with shifts, noise and unknown compounds."""

from dataclasses import dataclass, replace

import numpy as np

from nmrclassify.config import bounded, check
from nmrclassify.nmr.library import Library

# One random stream for each purpose, so that longer training does not change the test set.
STREAMS = {
    "library": 0,
    "split": 1,
    "train": 2,
    "test": 3,
    "weights": 4,
    "order": 5,
    "view": 6,
    "validation": 7,
    "unknown": 8,
}


def generator(seed: int, stream: str, *indices: int) -> np.random.Generator:
    """Return the generator of one stream of `seed`; `indices` are, for example, a step."""
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed is {seed}; expected a whole number from 0 to 2^63 - 1")
    return np.random.default_rng([seed, STREAMS[stream], *indices])


@dataclass(frozen=True)
class MixtureConfig:
    """Distributions from which the mixtures of a library are drawn."""

    n_sources: int = bounded(3, 1, 8, "compounds in a mixture, C")
    repetition: bool = False
    concentration_low: float = bounded(
        1.0, 0.01, 100.0, "lowest concentration; drawn log-uniformly up to the highest"
    )
    concentration_high: float = bounded(1.0, 0.01, 100.0, "highest concentration")
    shift_jitter: float = bounded(
        0.0, 0.0, 3.0, "standard deviation of each multiplet's shift, in positions"
    )
    noise: float = bounded(0.0, 0.0, 1.0, "standard deviation of the noise on each peak area")
    number_varies: bool = False  # from 1 up to n_sources compounds, instead of always n_sources
    common_shift: float = bounded(
        0.0, 0.0, 3.0, "largest shift, either way, that all multiplets of a mixture share"
    )

    def __post_init__(self) -> None:
        """Refuse values out of bounds, and a lowest concentration above the highest."""
        check(self)
        if self.concentration_low > self.concentration_high:
            raise ValueError(
                f"concentration_low is {self.concentration_low:g}, above concentration_high"
                f" {self.concentration_high:g}; swap them"
            )


@dataclass(frozen=True)
class Mixtures:
    """A batch of B mixtures and their true composition.

    Attributes
    ----------
    areas : ndarray, shape (B, P, L), float32
        Measured: the sum of the sources, an unknown compound and noise.
    sources : ndarray, shape (B, C, P, L), float32
    labels : ndarray, shape (B, C), int64
        Index of the library compound of each source. K, one past the last, means no compound; the
        source is zero.
    concentrations : ndarray, shape (B, C), float32
        0 where there is no compound.
    n_compounds : int
        K, the size of the library.
    unknown : ndarray, shape (B, P, L), float32, or None
        Areas of the unknown compound that `with_unknown` added.
    """

    areas: np.ndarray
    sources: np.ndarray
    labels: np.ndarray
    concentrations: np.ndarray
    n_compounds: int
    unknown: np.ndarray | None = None

    def __len__(self) -> int:
        """Return the number of mixtures."""
        return len(self.areas)

    def __getitem__(self, index: slice) -> "Mixtures":
        """Return some of the mixtures."""
        return Mixtures(
            self.areas[index],
            self.sources[index],
            self.labels[index],
            self.concentrations[index],
            self.n_compounds,
            None if self.unknown is None else self.unknown[index],
        )

    @property
    def counts(self) -> np.ndarray:
        """How often each compound occurs, shape (B, K)."""
        return counts_of(self.labels, self.n_compounds)

    @property
    def has_unknown(self) -> np.ndarray:
        """Whether each mixture has an unknown compound, shape (B,)."""
        if self.unknown is None:
            return np.zeros(len(self), dtype=bool)
        return np.asarray(self.unknown.any((1, 2)))

    def by_compound(self, values: np.ndarray) -> np.ndarray:
        """Sum `values` of sources, (B, C, ...), by compound of the library, (B, K, ...)."""
        rows, columns = np.nonzero(self.labels < self.n_compounds)
        total = np.zeros((len(self), self.n_compounds, *values.shape[2:]), dtype=values.dtype)
        np.add.at(total, (rows, self.labels[rows, columns]), values[rows, columns])
        return total


def counts_of(labels: np.ndarray, n_compounds: int) -> np.ndarray:
    """Return how often each compound occurs, (B, K), in compositions of shape (B, C)."""
    return (labels[..., None] == np.arange(n_compounds)).sum(axis=1)


def shift_multiplets(areas: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Move each multiplet along the axis; its area is divided between the two nearest positions.

    Parameters
    ----------
    areas : ndarray, shape (..., P, L)
    shifts : ndarray, shape (..., L)
        Shift of the multiplet at each position, in positions. A multiplet that would leave the axis
        stops at its end.

    Returns
    -------
    ndarray, shape (..., P, L)
        The total area is the same.
    """
    n_positions = areas.shape[-1]
    target = np.clip(np.arange(n_positions) + shifts, 0, n_positions - 1)  # (..., L)
    low = np.floor(target)
    share = target - low
    shifted = np.zeros_like(areas)
    # A loop over the few distinct whole offsets.
    offsets = (low - np.arange(n_positions)).astype(int)
    for offset in np.unique(offsets):
        here = offsets == offset
        for step, weight in ((0, 1.0 - share), (1, share)):
            move = offset + step
            if abs(move) >= n_positions:  # past the end, with a share of 0
                continue
            part = areas * (here * weight)[..., None, :]
            source = slice(max(0, -move), n_positions - max(0, move))
            place = slice(max(0, move), n_positions - max(0, -move))
            shifted[..., place] += part[..., source]
    return shifted


def mix(
    library: Library,
    labels: np.ndarray,
    config: MixtureConfig,
    rng: np.random.Generator,
    levels: np.ndarray | None = None,
) -> Mixtures:
    """Make one mixture for each row of `labels`, shape (B, C).

    `levels`, shape (4, B), from 0 to 1, scales the range of concentrations (on the logarithmic
    scale), the shift jitter, the noise and the common shift of each mixture. Without a common
    shift, its row may be left out.
    """
    low, high = np.log(config.concentration_low), np.log(config.concentration_high)
    logarithm = rng.uniform(low, high, labels.shape)
    if levels is not None:
        logarithm *= levels[0][:, None]
    return mix_at(library, labels, np.exp(logarithm).astype(np.float32), config, rng, levels)


def mix_at(
    library: Library,
    labels: np.ndarray,
    concentrations: np.ndarray,
    config: MixtureConfig,
    rng: np.random.Generator,
    levels: np.ndarray | None = None,
) -> Mixtures:
    """Make mixtures at `concentrations`, (B, C), with the shifts and noise of `config`."""
    absent = labels == library.n_compounds
    if absent.any():
        concentrations = np.where(absent, np.float32(0), concentrations)
    sources = library.areas[np.where(absent, 0, labels)]  # (B, C, P, L)
    if (concentrations != 1).any():
        sources *= concentrations[..., None, None]
    shifts = np.zeros((*labels.shape, library.axis.n_positions))
    if config.shift_jitter:
        jitter = rng.normal(0.0, config.shift_jitter, shifts.shape)
        shifts += jitter if levels is None else jitter * levels[1][:, None, None]
    if config.common_shift:
        common = rng.uniform(-config.common_shift, config.common_shift, len(labels))
        shifts += (common if levels is None else common * levels[3])[:, None, None]
    if config.shift_jitter or config.common_shift:
        sources = shift_multiplets(sources, shifts).astype(np.float32)
    areas = sources.sum(axis=1)
    if config.noise:
        noise = rng.normal(0.0, config.noise, areas.shape)
        areas += (noise if levels is None else noise * levels[2][:, None, None]).astype(np.float32)
    return Mixtures(areas, sources, labels, concentrations, library.n_compounds)


def unknown_compounds(library: Library, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return unknown compounds, (size, P, L): multiplets of a random compound, moved."""
    compounds = np.zeros((size, *library.areas.shape[1:]), dtype=np.float32)
    rows = np.arange(size)  # still to be drawn
    for _ in range(100):
        order = rng.permuted(np.tile(np.arange(library.axis.n_positions), (len(rows), 1)), axis=1)
        drawn = library.areas[rng.integers(library.n_compounds, size=len(rows))]
        compounds[rows] = np.take_along_axis(drawn, order[:, None], axis=2)
        # Compounds that equal one of the library, as single multiplets may, are drawn again.
        rows = rows[(compounds[rows, None] == library.areas).all((2, 3)).any(axis=1)]
        if not len(rows):
            return compounds
    raise ValueError(
        f"no unknown compound was found in 100 draws: the {library.n_compounds} compounds of the"
        f" library fill {library.axis.n_positions} positions; take a longer axis or fewer compounds"
    )


def with_unknown(mixtures: Mixtures, compounds: np.ndarray, concentrations: np.ndarray) -> Mixtures:
    """Add an unknown compound, (B, P, L), to each mixture at `concentrations`, (B,)."""
    unknown = (compounds * concentrations[:, None, None]).astype(np.float32)
    return replace(mixtures, areas=mixtures.areas + unknown, unknown=unknown)
