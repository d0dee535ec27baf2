"""Mixtures: seeded sums of library compounds, and the split that keeps test compositions out of training."""

import hashlib
from dataclasses import dataclass
from math import comb

import numpy as np

from .config import bounded, check
from .library import Library

MAX_COMPOSITIONS = 20_000
MAX_TEST = 500  # enough for an interval of a few points, few enough to measure while training
# One seed feeds independent streams, so that e.g. a longer training never changes the test set.
STREAMS = {"library": 0, "split": 1, "train": 2, "test": 3, "weights": 4, "order": 5, "view": 6}


def generator(seed: int, stream: str, *indices: int) -> np.random.Generator:
    """Return the generator of one named stream of `seed`; `indices` (a step, an epoch) pick a place in the stream."""
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed is {seed}; expected a whole number from 0 to 2^63 - 1")
    return np.random.default_rng([seed, STREAMS[stream], *indices])


@dataclass(frozen=True)
class MixtureConfig:
    """How mixtures are made from a library."""

    n_sources: int = bounded(3, 1, 8, "compounds in a mixture, C")
    repetition: bool = False
    concentration_low: float = bounded(1.0, 0.01, 100.0, "lowest concentration; drawn log-uniformly up to the highest")
    concentration_high: float = bounded(1.0, 0.01, 100.0, "highest concentration")
    shift_jitter: float = bounded(0.0, 0.0, 3.0, "standard deviation of each multiplet's shift, in positions")
    noise: float = bounded(0.0, 0.0, 1.0, "standard deviation of the noise on each peak area")

    def __post_init__(self):
        check(self)
        if self.concentration_low > self.concentration_high:
            raise ValueError(
                f"concentration_low is {self.concentration_low:g}, above concentration_high {self.concentration_high:g}; "
                "swap them"
            )


@dataclass(frozen=True)
class Mixtures:
    """A batch of B mixtures and the truth about them.

    Attributes
    ----------
    areas : ndarray, shape (B, P, L), float32
        What is measured: the sum of the sources plus noise.
    sources : ndarray, shape (B, C, P, L), float32
    labels : ndarray, shape (B, C), int64
        Index of the library compound behind each source.
    concentrations : ndarray, shape (B, C), float32
    """

    areas: np.ndarray
    sources: np.ndarray
    labels: np.ndarray
    concentrations: np.ndarray

    def __len__(self) -> int:
        return len(self.areas)

    def __getitem__(self, index: slice) -> "Mixtures":
        return Mixtures(self.areas[index], self.sources[index], self.labels[index], self.concentrations[index])


def shift_multiplets(areas: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Move each multiplet along the axis by a fraction of a position, sharing its area between the two nearest.

    Parameters
    ----------
    areas : ndarray, shape (..., P, L)
    shifts : ndarray, shape (..., L)
        Shift of the multiplet at each position, in positions. A multiplet that would leave the axis stays at its end.

    Returns
    -------
    ndarray, shape (..., P, L)
        The same total area.
    """
    n_positions = areas.shape[-1]
    target = np.clip(np.arange(n_positions) + shifts, 0, n_positions - 1)  # (..., L)
    low = np.floor(target)
    share = target - low
    shifted = np.zeros_like(areas)
    # Loop over the few distinct whole-position offsets; everything else is vectorised.
    offsets = (low - np.arange(n_positions)).astype(int)
    for offset in np.unique(offsets):
        here = offsets == offset
        for step, weight in ((0, 1.0 - share), (1, share)):
            move = offset + step
            if abs(move) >= n_positions:  # only a zero share can point past the end
                continue
            part = areas * (here * weight)[..., None, :]
            source = slice(max(0, -move), n_positions - max(0, move))
            place = slice(max(0, move), n_positions - max(0, -move))
            shifted[..., place] += part[..., source]
    return shifted


def mix(library: Library, labels: np.ndarray, config: MixtureConfig, rng: np.random.Generator) -> Mixtures:
    """Make one mixture for each row of `labels`, shape (B, C); vectorised over the batch."""
    low, high = np.log(config.concentration_low), np.log(config.concentration_high)
    concentrations = np.exp(rng.uniform(low, high, labels.shape)).astype(np.float32)
    return mix_at(library, labels, concentrations, config, rng)


def mix_at(
    library: Library, labels: np.ndarray, concentrations: np.ndarray, config: MixtureConfig, rng: np.random.Generator
) -> Mixtures:
    """Make mixtures at given `concentrations`, shape (B, C); jitter and noise still come from `config` and `rng`."""
    sources = library.areas[labels]  # (B, C, P, L)
    if (concentrations != 1).any():
        sources *= concentrations[..., None, None]
    if config.shift_jitter:
        shifts = rng.normal(0.0, config.shift_jitter, (*labels.shape, library.axis.n_positions))
        sources = shift_multiplets(sources, shifts).astype(np.float32)
    areas = sources.sum(axis=1)
    if config.noise:
        areas += rng.normal(0.0, config.noise, areas.shape).astype(np.float32)
    return Mixtures(areas, sources, labels, concentrations)


def compositions(n_compounds: int, n_sources: int, repetition: bool, rng: np.random.Generator) -> np.ndarray:
    """Return distinct compositions (sorted multisets of compounds) in random order, shape (n, C).

    All of them where there are at most `MAX_COMPOSITIONS`, otherwise that many drawn at random.

    Raises
    ------
    ValueError
        If no composition exists.
    """
    total = comb(n_compounds + n_sources - 1, n_sources) if repetition else comb(n_compounds, n_sources)
    if total == 0:
        raise ValueError(
            f"{n_sources} different compounds cannot be chosen from {n_compounds}; "
            "allow repetition, lower n_sources or take a larger library"
        )
    found = np.empty((0, n_sources), dtype=np.int64)
    if total <= MAX_COMPOSITIONS:
        # A combination with repetition is a plain combination of a larger set, less 0, 1, 2, ...
        n_items = n_compounds + n_sources - 1 if repetition else n_compounds
        found = _combinations(n_items, n_sources) - (np.arange(n_sources) if repetition else 0)
    while len(found) < min(total, MAX_COMPOSITIONS):
        drawn = np.sort(rng.integers(n_compounds, size=(2 * MAX_COMPOSITIONS, n_sources)), axis=1)
        if not repetition:
            drawn = drawn[(np.diff(drawn, axis=1) > 0).all(axis=1)]
        found = np.unique(np.concatenate([found, drawn]), axis=0)
    return rng.permutation(found)[:MAX_COMPOSITIONS]


def _combinations(n_items: int, size: int) -> np.ndarray:
    """Return all sorted combinations, shape (n, size), growing them one column at a time."""
    rows = np.zeros((1, 0), dtype=np.int64)
    for column in range(size):
        last = rows[:, -1] if column else np.full(len(rows), -1)
        following = np.arange(n_items)
        keep = following[None, :] > last[:, None]
        parent, item = np.nonzero(keep)
        rows = np.column_stack([rows[parent], item])
    return rows


@dataclass(frozen=True)
class Dataset:
    """A library, how its compounds are mixed, and which compositions are for training and which for testing.

    Attributes
    ----------
    library : Library
    config : MixtureConfig
    train, test : ndarray, shape (n, C), int64
        Compositions as sorted multisets; none occurs in both.
    seed : int
        Seeds the mixtures drawn from the compositions.
    preset : str
        Name of the recipe that made it.
    """

    library: Library
    config: MixtureConfig
    train: np.ndarray
    test: np.ndarray
    seed: int
    preset: str = "own"

    def __post_init__(self):
        if not len(self.train) or not len(self.test):
            raise ValueError(
                f"{len(self.train)} training and {len(self.test)} test compositions; expected at least one of each: "
                "take a larger library, or fewer compounds a mixture"
            )

        for rows in (self.train, self.test):
            if (np.diff(rows, axis=1) < 0).any():
                raise ValueError("a composition of the split is not sorted; expected compounds in increasing order")
        common = int(np.isin(self.keys(self.test), self.keys(self.train)).sum())
        if common:
            raise ValueError(f"{common} test compositions are in the training part as well; expected none")

    def keys(self, labels: np.ndarray) -> np.ndarray:
        """Return one number for each composition of `labels`, shape (B, C), the same whatever its order."""
        return np.sort(labels, axis=1) @ self.library.n_compounds ** np.arange(labels.shape[1])

    def repeated(self) -> list[np.ndarray]:
        """Return the training compositions with one compound replaced by another of them, for each way to do so."""
        ways = []
        for lost in range(self.train.shape[1]):
            for copied in range(self.train.shape[1]):
                if lost != copied:
                    ways.append(self.train.copy())
                    ways[-1][:, lost] = self.train[:, copied]
        return ways

    def training_batch(
        self, step: int, size: int, config: MixtureConfig | None = None, repeats: float = 0.0
    ) -> Mixtures:
        """Draw the training mixtures of one step: epoch after epoch over the compositions, each in a fresh order.

        Parameters
        ----------
        step, size : int
            The same step gives the same mixtures.
        config : MixtureConfig, optional
            Replaces the data set's own, for augmentation.
        repeats : float
            Probability that one compound of a mixture gives way to a second portion of another: a pair without a third,
            which stops "whenever A and B, then C" from being learnt. A test composition never comes about.
        """
        n = len(self.train)
        places = np.arange(step * size, (step + 1) * size)
        order = {int(epoch): generator(self.seed, "order", int(epoch)).permutation(n) for epoch in np.unique(places // n)}
        rows = np.array([order[place // n][place % n] for place in places.tolist()])
        labels, rng = self.train[rows], generator(self.seed, "train", step)
        if repeats and labels.shape[1] > 1:
            labels = self._with_repeats(labels, repeats, rng)
        return mix(self.library, labels, config or self.config, rng)

    def _with_repeats(self, labels: np.ndarray, repeats: float, rng: np.random.Generator) -> np.ndarray:
        chosen = np.flatnonzero(rng.random(len(labels)) < repeats)
        order = rng.permuted(np.tile(np.arange(labels.shape[1]), (len(chosen), 1)), axis=1)
        changed = labels[chosen]
        changed[np.arange(len(chosen)), order[:, 0]] = labels[chosen, order[:, 1]]
        allowed = ~np.isin(self.keys(changed), self.keys(self.test))
        labels = labels.copy()
        labels[chosen[allowed]] = changed[allowed]
        return labels

    def training_set(self) -> Mixtures:
        """Make one mixture of each training composition."""
        return mix(self.library, self.train, self.config, generator(self.seed, "train"))

    def test_mixtures(self, seed: int | None = None, draws: int = 1) -> Mixtures:
        """Make `draws` mixtures of each test composition; `seed` varies concentrations, jitter and noise."""
        rng = generator(self.seed if seed is None else seed, "test")
        return mix(self.library, np.repeat(self.test, draws, axis=0), self.config, rng)

    def digest(self) -> str:
        """Return the sha256 of everything that the recipe determines: library, split and test mixtures."""
        content = hashlib.sha256()
        for array in (self.library.areas, self.train, self.test, self.test_mixtures().areas, self.training_batch(0, 64).areas):
            content.update(str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
        return content.hexdigest()


def split(
    library: Library, config: MixtureConfig, seed: int, n_train: int | None, n_test: int | None, preset: str = "own"
) -> Dataset:
    """Divide the compositions of a library into training and test; without numbers 30 % (at most `MAX_TEST`) for the test.

    Raises
    ------
    ValueError
        If the library is too small to leave a composition on each side.
    """
    pool = compositions(library.n_compounds, config.n_sources, config.repetition, generator(seed, "split"))
    n_test = n_test or min(round(0.3 * len(pool)), MAX_TEST)
    train = pool[n_test:] if n_train is None else pool[n_test : n_test + n_train]
    return Dataset(library, config, train, pool[:n_test], seed, preset)
