"""Data sets: compositions of compounds, divided so that those for the test stay out of training."""

import hashlib
from dataclasses import dataclass
from math import comb

import numpy as np

from nmrclassify.mixtures.grid import (
    MixtureConfig,
    Mixtures,
    generator,
    mix,
    unknown_compounds,
    with_unknown,
)
from nmrclassify.nmr.library import Library

MAX_COMPOSITIONS = 20_000


MAX_TEST = 500  # enough for an interval of a few points, few enough to measure while training


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
