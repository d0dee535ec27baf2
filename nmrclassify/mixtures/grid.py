"""Mixtures: seeded sums of library compounds, and the split that keeps test compositions out of training."""

import hashlib
from dataclasses import dataclass, replace
from math import comb

import numpy as np

from nmrclassify.config import bounded, check
from nmrclassify.nmr.library import Library

MAX_COMPOSITIONS = 20_000
MAX_TEST = 500  # enough for an interval of a few points, few enough to measure while training
# One seed feeds independent streams, so that e.g. a longer training never changes the test set.
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
    """Return the generator of one named stream of `seed`; `indices` (a step, an epoch) pick a place in the stream."""
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed is {seed}; expected a whole number from 0 to 2^63 - 1")
    return np.random.default_rng([seed, STREAMS[stream], *indices])


@dataclass(frozen=True)
class MixtureConfig:
    """How mixtures are made from a library."""

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

    def __post_init__(self):
        check(self)
        if self.concentration_low > self.concentration_high:
            raise ValueError(
                f"concentration_low is {self.concentration_low:g}, above concentration_high"
                f" {self.concentration_high:g}; swap them"
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
        Index of the library compound behind each source; K, one past the last, where there is none
        (its source is zero).
    concentrations : ndarray, shape (B, C), float32
        0 where there is no compound.
    n_compounds : int
        K, the size of the library.
    unknown : ndarray, shape (B, P, L), float32, or None
        What a compound from outside the library adds, where `with_unknown` added one.
    """

    areas: np.ndarray
    sources: np.ndarray
    labels: np.ndarray
    concentrations: np.ndarray
    n_compounds: int
    unknown: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.areas)

    def __getitem__(self, index: slice) -> "Mixtures":
        unknown = None if self.unknown is None else self.unknown[index]
        parts = (
            part[index] for part in (self.areas, self.sources, self.labels, self.concentrations)
        )
        return Mixtures(*parts, self.n_compounds, unknown)

    @property
    def counts(self) -> np.ndarray:
        """How often each compound occurs, shape (B, K)."""
        return counts_of(self.labels, self.n_compounds)

    def by_compound(self, values: np.ndarray) -> np.ndarray:
        """Add up `values` of the sources, shape (B, C, ...), for each compound of the library, shape (B, K, ...)."""
        rows, columns = np.nonzero(self.labels < self.n_compounds)
        total = np.zeros((len(self), self.n_compounds, *values.shape[2:]), dtype=values.dtype)
        np.add.at(total, (rows, self.labels[rows, columns]), values[rows, columns])
        return total


def counts_of(labels: np.ndarray, n_compounds: int) -> np.ndarray:
    """Return how often each compound occurs in compositions of shape (B, C), as shape (B, K)."""
    return (labels[..., None] == np.arange(n_compounds)).sum(axis=1)


def shift_multiplets(areas: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Move each multiplet along the axis by a fraction of a position, sharing its area between the two nearest.

    Parameters
    ----------
    areas : ndarray, shape (..., P, L)
    shifts : ndarray, shape (..., L)
        Shift of the multiplet at each position, in positions. A multiplet that would leave the axis
        stays at its end.

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


def mix(
    library: Library,
    labels: np.ndarray,
    config: MixtureConfig,
    rng: np.random.Generator,
    levels: np.ndarray | None = None,
) -> Mixtures:
    """Make one mixture for each row of `labels`, shape (B, C); vectorised over the batch.

    `levels`, shape (3, B), from 0 to 1, weakens the concentration range (on its logarithmic scale),
    the shift jitter and the noise of each mixture on its own.
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
    """Make mixtures at given `concentrations`, shape (B, C); jitter and noise still come from `config` and `rng`."""
    absent = labels == library.n_compounds
    if absent.any():
        concentrations = np.where(absent, np.float32(0), concentrations)
    sources = library.areas[np.where(absent, 0, labels)]  # (B, C, P, L)
    if (concentrations != 1).any():
        sources *= concentrations[..., None, None]
    if config.shift_jitter:
        shifts = rng.normal(0.0, config.shift_jitter, (*labels.shape, library.axis.n_positions))
        sources = shift_multiplets(
            sources, shifts if levels is None else shifts * levels[1][:, None, None]
        ).astype(np.float32)
    areas = sources.sum(axis=1)
    if config.noise:
        noise = rng.normal(0.0, config.noise, areas.shape)
        areas += (noise if levels is None else noise * levels[2][:, None, None]).astype(np.float32)
    return Mixtures(areas, sources, labels, concentrations, library.n_compounds)


def unknown_compounds(library: Library, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return compounds from outside the library, shape (size, P, L): the multiplets of a random one at other positions."""
    found = np.zeros((size, *library.areas.shape[1:]), dtype=np.float32)
    again = np.arange(size)
    for _ in range(100):
        order = rng.permuted(np.tile(np.arange(library.axis.n_positions), (len(again), 1)), axis=1)
        drawn = library.areas[rng.integers(library.n_compounds, size=len(again))]
        found[again] = np.take_along_axis(drawn, order[:, None], axis=2)
        # A lone multiplet may land where it was, or where another compound has just such a one.
        again = again[(found[again, None] == library.areas).all((2, 3)).any(axis=1)]
        if not len(again):
            return found
    raise ValueError(
        "no compound from outside the library can be made: every place is taken; take a longer axis"
        " or fewer compounds"
    )


def with_unknown(mixtures: Mixtures, compounds: np.ndarray, concentrations: np.ndarray) -> Mixtures:
    """Add to each mixture a compound of shape (B, P, L) from outside the library, at concentrations of shape (B,)."""
    unknown = (compounds * concentrations[:, None, None]).astype(np.float32)
    return replace(mixtures, areas=mixtures.areas + unknown, unknown=unknown)


def compositions(
    n_compounds: int,
    n_sources: int,
    repetition: bool,
    rng: np.random.Generator,
    number_varies: bool = False,
) -> np.ndarray:
    """Return distinct compositions (sorted multisets of compounds) in random order, shape (n, C).

    All of them where there are at most `MAX_COMPOSITIONS`, otherwise that many drawn at random.
    Where the number of compounds varies from 1 to C, shorter ones are filled up with K, "no
    compound".

    Raises
    ------
    ValueError
        If no composition exists.
    """
    sizes = range(1, n_sources + 1) if number_varies else [n_sources]
    total = sum(
        comb(n_compounds + size - 1, size) if repetition else comb(n_compounds, size)
        for size in sizes
    )
    if total == 0:
        raise ValueError(
            f"{n_sources} different compounds cannot be chosen from {n_compounds}; "
            "allow repetition, lower n_sources or take a larger library"
        )
    found = np.empty((0, n_sources), dtype=np.int64)
    if total <= MAX_COMPOSITIONS:
        for size in sizes:
            # A combination with repetition is a plain combination of a larger set, less 0, 1, 2,
            # ...
            n_items = n_compounds + size - 1 if repetition else n_compounds
            rows = _combinations(n_items, size) - (np.arange(size) if repetition else 0)
            found = np.concatenate(
                [found, np.pad(rows, ((0, 0), (0, n_sources - size)), constant_values=n_compounds)]
            )
    while len(found) < min(total, MAX_COMPOSITIONS):
        drawn = rng.integers(n_compounds, size=(2 * MAX_COMPOSITIONS, n_sources))
        if number_varies:
            drawn[np.arange(n_sources) >= rng.integers(1, n_sources + 1, len(drawn))[:, None]] = (
                n_compounds
            )
        drawn = np.sort(drawn, axis=1)
        if not repetition:
            drawn = drawn[
                ((np.diff(drawn, axis=1) > 0) | (drawn[:, 1:] == n_compounds)).all(axis=1)
            ]
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
class Augmentation:
    """How training mixtures are made wider than the data set's own, see `Dataset.training_batch`."""

    mixing: MixtureConfig
    repeats: float = 0.0
    remix: float = 0.0
    any_number: bool = False
    unknown: float = 0.0
    own_levels: bool = False


@dataclass(frozen=True)
class Dataset:
    """A library, how its compounds are mixed, and which compositions are for training and which for testing.

    Attributes
    ----------
    library : Library
    config : MixtureConfig
    train, validation, test : ndarray, shape (n, C), int64
        Compositions as sorted multisets; none occurs twice. Probabilities are calibrated on
        `validation`, which may be empty.
    seed : int
        Seeds the mixtures drawn from the compositions.
    preset : str
        Name of the recipe that made it.
    """

    library: Library
    config: MixtureConfig
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    seed: int
    preset: str = "own"

    def __post_init__(self):
        if not len(self.train) or not len(self.test):
            raise ValueError(
                f"{len(self.train)} training and {len(self.test)} test compositions; expected at"
                " least one of each: take a larger library, or fewer compounds a mixture"
            )

        for rows in (self.train, self.validation, self.test):
            if (np.diff(rows, axis=1) < 0).any():
                raise ValueError(
                    "a composition of the split is not sorted; expected compounds in increasing"
                    " order"
                )
        used = np.concatenate([self.keys(self.train), self.keys(self.validation)])
        common = int(
            np.isin(self.keys(self.test), used).sum()
            + np.isin(self.keys(self.validation), self.keys(self.train)).sum()
        )
        if common:
            raise ValueError(
                f"{common} test or validation compositions are in another part as well; expected"
                " none"
            )

    def keys(self, labels: np.ndarray) -> np.ndarray:
        """Return one number for each composition of `labels`, shape (B, C), the same whatever its order."""
        return np.sort(labels, axis=1) @ (self.library.n_compounds + 1) ** np.arange(
            labels.shape[1]
        )

    def kept(self, labels: np.ndarray) -> np.ndarray:
        """Return whether each composition of `labels`, shape (B, C), is kept out of training for validation or test."""
        return np.isin(
            self.keys(labels), np.concatenate([self.keys(self.validation), self.keys(self.test)])
        )

    def repeated(self) -> list[np.ndarray]:
        """Return the training compositions with one compound replaced by another of them, for each way to do so."""
        ways = []
        for lost in range(self.train.shape[1]):
            for copied in range(self.train.shape[1]):
                if lost != copied:
                    ways.append(self.train.copy())
                    ways[-1][:, lost] = self.train[:, copied]
        return ways

    def training_batch(self, step: int, size: int, widen: Augmentation | None = None) -> Mixtures:
        """Draw the training mixtures of one step: epoch after epoch over the compositions, each in a fresh order.

        No composition that is kept for validation or test ever comes about.

        Parameters
        ----------
        step, size : int
            The same step gives the same mixtures.
        widen : Augmentation, optional
            ``mixing`` replaces the data set's own way to mix; with ``own_levels`` each mixture
            weakens it on its own, so that clean ones occur beside the worst. ``repeats`` is the
            probability that one compound of a mixture gives way to a second portion of another: a
            pair without a third, which stops "whenever A and B, then C" from being learnt.
            ``remix`` is the probability that the composition is drawn anew from the library (the
            dynamic mixing of N. Zeghidour and D. Grangier, IEEE/ACM TASLP 29, 2021, section III),
            with ``any_number`` of 0 to C + 1 compounds, other than C where the data always have C.
            ``unknown`` is the probability that a compound from outside the library is added.
        """
        n = len(self.train)
        places = np.arange(step * size, (step + 1) * size)
        order = {
            int(epoch): generator(self.seed, "order", int(epoch)).permutation(n)
            for epoch in np.unique(places // n)
        }
        rows = np.array([order[place // n][place % n] for place in places.tolist()])
        labels, rng = self.train[rows], generator(self.seed, "train", step)
        if widen is None:
            return mix(self.library, labels, self.config, rng)
        if widen.repeats and labels.shape[1] > 1:
            labels = self._with_repeats(labels, widen.repeats, rng)
        if widen.remix:
            labels = self._remixed(labels, widen.remix, widen.any_number, rng)
        return self._widened(labels, widen, rng)

    def _widened(
        self, labels: np.ndarray, widen: Augmentation, rng: np.random.Generator
    ) -> Mixtures:
        size = len(labels)
        levels = None
        if widen.own_levels:
            # A fifth of each kind of trouble is cut off at none, and every third mixture has none
            # at all, every compound at concentration 1: what is clean has to be learnt to the last
            # mixture, not as a rare limit.
            levels = np.clip(rng.uniform(-0.25, 1.0, (3, size)), 0.0, 1.0) * (
                rng.random(size) > 1 / 3
            )
        mixtures = mix(self.library, labels, widen.mixing, rng, levels)
        if not widen.unknown:
            return mixtures
        low, high = np.log(widen.mixing.concentration_low), np.log(widen.mixing.concentration_high)
        amounts = np.exp(rng.uniform(low, high, size) * (1 if levels is None else levels[0])) * (
            rng.random(size) < widen.unknown
        )
        return with_unknown(mixtures, unknown_compounds(self.library, size, rng), amounts)

    def _remixed(
        self, labels: np.ndarray, share: float, any_number: bool, rng: np.random.Generator
    ) -> np.ndarray:
        n_compounds, (size, own) = self.library.n_compounds, labels.shape
        width = own + any_number
        drawn = rng.integers(n_compounds, size=(size, width))
        if not self.config.repetition:
            drawn = np.argsort(rng.random((size, max(n_compounds, width))), axis=1)[:, :width].clip(
                max=n_compounds
            )
        if any_number or self.config.number_varies:
            sizes = rng.integers(1 - any_number, width + 1 - (not self.config.number_varies), size)
            if not self.config.number_varies:
                # Any number but the data's own: of that one some compositions are kept out, and
                # where noise leaves room for doubt, a network that saw all the others would learn
                # that the kept ones never come.
                sizes[sizes == own] = width
            drawn[np.arange(width) >= sizes[:, None]] = n_compounds
        drawn.sort(axis=1)  # what fits into the own width has "no compound" past it
        fits = (drawn[:, own:] == n_compounds).all(axis=1)
        allowed = (rng.random(size) < share) & ~(fits & self.kept(drawn[:, :own]))
        labels = np.pad(labels, ((0, 0), (0, width - own)), constant_values=n_compounds)
        return np.where(allowed[:, None], drawn, labels)

    def _with_repeats(
        self, labels: np.ndarray, repeats: float, rng: np.random.Generator
    ) -> np.ndarray:
        chosen = np.flatnonzero(rng.random(len(labels)) < repeats)
        order = rng.permuted(np.tile(np.arange(labels.shape[1]), (len(chosen), 1)), axis=1)
        changed = labels[chosen]
        changed[np.arange(len(chosen)), order[:, 0]] = labels[chosen, order[:, 1]]
        # "No compound" is not copied: a mixture could end up empty.
        allowed = ~self.kept(changed) & (labels[chosen, order[:, 1]] < self.library.n_compounds)
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

    def validation_mixtures(self, size: int, widen: Augmentation) -> Mixtures:
        """Make `size` mixtures of the validation compositions, in turn, in the way that training mixtures are made."""
        rows = self.validation[np.arange(size) % len(self.validation)]
        return self._widened(rows, widen, generator(self.seed, "validation"))

    def digest(self) -> str:
        """Return the sha256 of everything that the recipe determines: library, split and test mixtures."""
        content = hashlib.sha256()
        for array in (
            self.library.areas,
            self.train,
            self.validation,
            self.test,
            self.test_mixtures().areas,
            self.training_batch(0, 64).areas,
        ):
            content.update(str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
        return content.hexdigest()


def split(
    library: Library,
    config: MixtureConfig,
    seed: int,
    n_train: int | None,
    n_test: int | None,
    preset: str = "own",
) -> Dataset:
    """Divide the compositions of a library into training, validation and test.

    Without numbers, 30 % (at most `MAX_TEST`) are for the test; of what is left for training, one
    in ten for validation.

    Raises
    ------
    ValueError
        If the library is too small to leave a composition for training and for the test.
    """
    rng = generator(seed, "split")
    pool = compositions(
        library.n_compounds, config.n_sources, config.repetition, rng, config.number_varies
    )
    n_test = n_test or min(round(0.3 * len(pool)), MAX_TEST)
    rest = pool[n_test:]
    n_validation = min(len(rest) // 10, MAX_TEST)
    # From the end, so that a number of training compositions means the same ones whatever their
    # number.
    train, validation = rest[: len(rest) - n_validation], rest[len(rest) - n_validation :]
    return Dataset(library, config, train[:n_train], validation, pool[:n_test], seed, preset)
