"""Data sets: a library and its compositions, divided into training, validation and test."""

import hashlib
from dataclasses import dataclass, replace
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
# Enough for an interval of a few percentage points, and fast enough to measure during training.
MAX_TEST = 500


def compositions(
    n_compounds: int,
    n_sources: int,
    repetition: bool,
    rng: np.random.Generator,
    number_varies: bool = False,
) -> np.ndarray:
    """Return distinct compositions (sorted multisets of compounds) in random order, shape (n, C).

    These are all compositions, or `MAX_COMPOSITIONS` random ones if there are more. If the number
    of compounds varies from 1 to C, short compositions are padded with K, "no compound".

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
    distinct = np.empty((0, n_sources), dtype=np.int64)
    if total <= MAX_COMPOSITIONS:
        for size in sizes:
            # A combination with repetition is one without, of a larger set, minus 0, 1, 2, ...
            n_items = n_compounds + size - 1 if repetition else n_compounds
            rows = _combinations(n_items, size) - (np.arange(size) if repetition else 0)
            distinct = np.concatenate(
                [
                    distinct,
                    np.pad(rows, ((0, 0), (0, n_sources - size)), constant_values=n_compounds),
                ]
            )
    while len(distinct) < min(total, MAX_COMPOSITIONS):
        drawn = rng.integers(n_compounds, size=(2 * MAX_COMPOSITIONS, n_sources))
        if number_varies:
            sizes_drawn = rng.integers(1, n_sources + 1, len(drawn))
            drawn[np.arange(n_sources) >= sizes_drawn[:, None]] = n_compounds
        drawn = np.sort(drawn, axis=1)
        if not repetition:
            differs = (np.diff(drawn, axis=1) > 0) | (drawn[:, 1:] == n_compounds)
            drawn = drawn[differs.all(axis=1)]
        distinct = np.unique(np.concatenate([distinct, drawn]), axis=0)
    return rng.permutation(distinct)[:MAX_COMPOSITIONS]


def _combinations(n_items: int, size: int) -> np.ndarray:
    """Return all sorted combinations, shape (n, size), built one column at a time."""
    rows = np.zeros((1, 0), dtype=np.int64)
    for column in range(size):
        last = rows[:, -1] if column else np.full(len(rows), -1)
        following = np.arange(n_items)
        parent, item = np.nonzero(following[None, :] > last[:, None])
        rows = np.column_stack([rows[parent], item])
    return rows


@dataclass(frozen=True)
class Augmentation:
    """How training mixtures vary more than those of the data set.

    Attributes
    ----------
    mixing : MixtureConfig
        Replaces the data set's configuration.
    repeats : float
        Probability that a second portion of one compound replaces another compound of the mixture:
        A and B occur without C, so the network does not learn "where A and B are, C is".
    remix : float
        Probability that the composition is drawn anew from the library: the dynamic mixing of
        N. Zeghidour and D. Grangier, IEEE/ACM TASLP 29, 2021, section III.
    any_number : bool
        A composition that is drawn anew has 0 to C + 1 compounds, but not C if the data always
        have C.
    unknown : float
        Probability that an unknown compound is added.
    unknown_replaces : float
        Probability that an unknown compound replaces one compound: A and B occur beside multiplets
        anywhere, so the network learns each compound, and not the compositions of the training.
    own_levels : bool
        Each mixture has none, one or two of these disturbances, and a level from 0 to 1 that scales
        each: its concentration range, jitter, noise and common shift.
    """

    mixing: MixtureConfig
    repeats: float = 0.0
    remix: float = 0.0
    any_number: bool = False
    unknown: float = 0.0
    own_levels: bool = False
    unknown_replaces: float = 0.0


@dataclass(frozen=True)
class Dataset:
    """A library, how its compounds are mixed, and the split of their compositions.

    Attributes
    ----------
    train, validation, test : ndarray, shape (n, C), int64
        Compositions as sorted multisets; none occurs twice. Probabilities are calibrated on
        `validation`, which can be empty.
    seed : int
        Seeds the mixtures drawn from the compositions.
    preset : str
        Name of the preset, or "own".
    """

    library: Library
    config: MixtureConfig
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    seed: int
    preset: str = "own"

    def __post_init__(self) -> None:
        """Refuse a split with an empty or unsorted part, or with a composition in two parts."""
        if not len(self.train) or not len(self.test):
            raise ValueError(
                f"{len(self.train)} training and {len(self.test)} test compositions; expected at"
                " least one of each: take a larger library, or fewer compounds a mixture"
            )
        for rows in (self.train, self.validation, self.test):
            unsorted = rows[(np.diff(rows, axis=1) < 0).any(axis=1)]
            if len(unsorted):
                raise ValueError(
                    f"composition {unsorted[0].tolist()} of the split is not sorted; give its"
                    " compounds in increasing order"
                )
        used = np.concatenate([self.keys(self.train), self.keys(self.validation)])
        common = int(
            np.isin(self.keys(self.test), used).sum()
            + np.isin(self.keys(self.validation), self.keys(self.train)).sum()
        )
        if common:
            raise ValueError(
                f"{common} test or validation compositions are in another part as well; remove them"
                " from one of the parts"
            )

    def keys(self, labels: np.ndarray) -> np.ndarray:
        """Return a number for each composition of `labels`, (B, C); order does not matter."""
        return np.sort(labels, axis=1) @ (self.library.n_compounds + 1) ** np.arange(
            labels.shape[1]
        )

    def held_out(self, labels: np.ndarray) -> np.ndarray:
        """Return whether each composition of `labels`, (B, C or more), is for validation or test.

        Whether an unknown compound is added makes no difference.
        """
        labels = np.sort(labels, axis=1)
        n_sources = self.test.shape[1]
        fits = (labels[:, n_sources:] == self.library.n_compounds).all(axis=1)
        kept = np.concatenate([self.keys(self.validation), self.keys(self.test)])
        return fits & np.isin(self.keys(labels[:, :n_sources]), kept)

    def with_one_repeat(self) -> list[np.ndarray]:
        """Return the training compositions with one compound replaced by another, in all ways."""
        variants = []
        for replaced in range(self.train.shape[1]):
            for copied in range(self.train.shape[1]):
                if replaced != copied:
                    variants.append(self.train.copy())
                    variants[-1][:, replaced] = self.train[:, copied]
        return variants

    def training_batch(
        self, step: int, size: int, augmentation: Augmentation | None = None
    ) -> Mixtures:
        """Draw the training mixtures of one step; each epoch has a new order of compositions.

        No mixture has a composition that is held out for validation or test.

        Parameters
        ----------
        step, size : int
            The same step gives the same mixtures.
        augmentation : Augmentation, optional
            How the mixtures vary more than those of the data set.
        """
        n = len(self.train)
        places = np.arange(step * size, (step + 1) * size)
        order = {
            int(epoch): generator(self.seed, "order", int(epoch)).permutation(n)
            for epoch in np.unique(places // n)
        }
        rows = np.array([order[place // n][place % n] for place in places.tolist()])
        labels, rng = self.train[rows], generator(self.seed, "train", step)
        if augmentation is None:
            return mix(self.library, labels, self.config, rng)
        if augmentation.repeats and labels.shape[1] > 1:
            labels = self._with_repeats(labels, augmentation.repeats, rng)
        if augmentation.remix:
            labels = self._remixed(labels, augmentation.remix, augmentation.any_number, rng)
        return self._mix(labels, augmentation, rng)

    def _mix(
        self, labels: np.ndarray, augmentation: Augmentation, rng: np.random.Generator
    ) -> Mixtures:
        size, mixing = len(labels), augmentation.mixing
        levels = None
        if augmentation.own_levels:
            # Most mixtures have one disturbance; with all at once, hardly any would have just one
            # that is strong, and few would be clean.
            n_kinds = 3 + (mixing.common_shift > 0)
            n_disturbances = rng.choice(3, size, p=(0.2, 0.6, 0.2))
            rank = rng.permuted(np.tile(np.arange(n_kinds), (size, 1)), axis=1).T  # (kinds, B)
            levels = rng.random((n_kinds, size)) * (rank < n_disturbances)
        replaced = np.full(size, False)
        if augmentation.unknown_replaces:
            full = (labels < self.library.n_compounds).all(axis=1) & (labels.shape[1] > 1)
            order = rng.permuted(np.tile(np.arange(labels.shape[1]), (size, 1)), axis=1)
            changed = np.sort(np.where(order == 0, self.library.n_compounds, labels), axis=1)
            chosen = rng.random(size) < augmentation.unknown_replaces
            replaced = full & chosen & ~self.held_out(changed)
            labels = np.where(replaced[:, None], changed, labels)
        mixtures = mix(self.library, labels, mixing, rng, levels)
        if not (augmentation.unknown or augmentation.unknown_replaces):
            return mixtures
        low, high = np.log(mixing.concentration_low), np.log(mixing.concentration_high)
        amounts = np.exp(rng.uniform(low, high, size) * (1 if levels is None else levels[0])) * (
            (rng.random(size) < augmentation.unknown) | replaced
        )
        return with_unknown(mixtures, unknown_compounds(self.library, size, rng), amounts)

    def _remixed(
        self, labels: np.ndarray, share: float, any_number: bool, rng: np.random.Generator
    ) -> np.ndarray:
        n_compounds, (size, n_sources) = self.library.n_compounds, labels.shape
        width = n_sources + any_number
        drawn = rng.integers(n_compounds, size=(size, width))
        if not self.config.repetition:
            drawn = np.argsort(rng.random((size, max(n_compounds, width))), axis=1)[:, :width].clip(
                max=n_compounds
            )
        if any_number or self.config.number_varies:
            sizes = rng.integers(1 - any_number, width + 1 - (not self.config.number_varies), size)
            if not self.config.number_varies:
                # Never C compounds: some compositions of C are held out, and a network trained on
                # all others could learn that these do not occur.
                sizes[sizes == n_sources] = width
            drawn[np.arange(width) >= sizes[:, None]] = n_compounds
        drawn.sort(axis=1)  # "no compound" comes last
        allowed = (rng.random(size) < share) & ~self.held_out(drawn)
        labels = np.pad(labels, ((0, 0), (0, width - n_sources)), constant_values=n_compounds)
        return np.where(allowed[:, None], drawn, labels)

    def _with_repeats(
        self, labels: np.ndarray, repeats: float, rng: np.random.Generator
    ) -> np.ndarray:
        chosen = np.flatnonzero(rng.random(len(labels)) < repeats)
        order = rng.permuted(np.tile(np.arange(labels.shape[1]), (len(chosen), 1)), axis=1)
        changed = labels[chosen]
        changed[np.arange(len(chosen)), order[:, 0]] = labels[chosen, order[:, 1]]
        # "No compound" is not copied, since a mixture could become empty.
        allowed = ~self.held_out(changed) & (labels[chosen, order[:, 1]] < self.library.n_compounds)
        labels = labels.copy()
        labels[chosen[allowed]] = changed[allowed]
        return labels

    def training_set(self) -> Mixtures:
        """Make one mixture of each training composition."""
        return mix(self.library, self.train, self.config, generator(self.seed, "train"))

    def test_mixtures(self, seed: int | None = None, draws: int = 1) -> Mixtures:
        """Make mixtures of the test compositions, `draws` of each; `seed` varies all but these."""
        rng = generator(self.seed if seed is None else seed, "test")
        return mix(self.library, np.repeat(self.test, draws, axis=0), self.config, rng)

    def validation_mixtures(self, size: int, augmentation: Augmentation) -> Mixtures:
        """Make `size` mixtures of the validation compositions, mixed as in training."""
        rows = self.validation[np.arange(size) % len(self.validation)]
        whole = replace(augmentation, unknown_replaces=0.0)
        return self._mix(rows, whole, generator(self.seed, "validation"))

    def digest(self) -> str:
        """Return the SHA-256 of the library, the split and some mixtures."""
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

    By default 30 % (at most `MAX_TEST`) are for the test. A tenth of the others is for validation.

    Raises
    ------
    ValueError
        If the library is too small for a composition in training and in the test.
    """
    rng = generator(seed, "split")
    pool = compositions(
        library.n_compounds, config.n_sources, config.repetition, rng, config.number_varies
    )
    n_test = n_test or min(round(0.3 * len(pool)), MAX_TEST)
    rest = pool[n_test:]
    n_validation = min(len(rest) // 10, MAX_TEST)
    # Validation is cut from the end, so that a smaller `n_train` keeps the first compositions.
    train, validation = rest[: len(rest) - n_validation], rest[len(rest) - n_validation :]
    return Dataset(library, config, train[:n_train], validation, pool[:n_test], seed, preset)
