"""The specification of one mixture: its data, its composition and its edits."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from nmrclassify.config import bounds
from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.edits import MAX_EDITS, Edit, Mixture, apply, to_text
from nmrclassify.mixtures.grid import (
    MixtureConfig,
    generator,
    mix_at,
    unknown_compounds,
    with_unknown,
)
from nmrclassify.mixtures.presets import PRESETS, build
from nmrclassify.nmr.library import Library

OWN = "own"  # the preset of data with an uploaded library
SEED = 7


class Realised(NamedTuple):
    """The data of a `MixtureSpec`, and its mixture before (`plain`) and after edits (`sample`)."""

    dataset: Dataset
    plain: Mixture
    sample: Mixture


@dataclass(frozen=True)
class MixtureSpec:
    """The mixture that is shown. Equal specs give equal bytes.

    A mixture is a test mixture (`number`), a composition (`compounds`), or, without either, one
    from a file. Numbers and compounds are counted from 1, as pages and links show them.

    Attributes
    ----------
    preset : str
        Name of the data; "own" for an uploaded library.
    config : MixtureConfig or None
        How mixtures are drawn; None for the configuration of the preset.
    number : int or None
        Of the test mixture.
    compounds : tuple of int
        The composition, one compound a source; 0 for no compound.
    concentrations : tuple of float
        Of the compounds; all 1 if left out.
    unknown : bool
        Whether a compound from outside the library is added.

    Raises
    ------
    ValueError
        If a value is out of its range, or two of them exclude each other.
    """

    preset: str = "metabolites"
    seed: int = SEED
    config: MixtureConfig | None = None
    number: int | None = None
    compounds: tuple[int, ...] = ()
    concentrations: tuple[float, ...] = ()
    unknown: bool = False
    edits: tuple[Edit, ...] = ()

    def __post_init__(self) -> None:
        """Check the values."""
        if self.preset not in (*PRESETS, OWN):
            raise ValueError(f"preset is {self.preset!r}; expected {', '.join(PRESETS)} or {OWN}")
        if self.compounds and not self.concentrations:
            object.__setattr__(self, "concentrations", (1.0,) * len(self.compounds))
        if self.number is not None and (self.compounds or self.number < 1):
            raise ValueError(
                f"number is {self.number}, compounds are {self.compounds}; expected a test mixture,"
                " counted from 1, or compounds, not both"
            )
        if len(self.compounds) != len(self.concentrations):
            raise ValueError(
                f"{len(self.concentrations)} concentrations for {len(self.compounds)} compounds;"
                " expected one for each"
            )
        if self.compounds and (min(self.compounds) < 0 or not any(self.compounds)):
            raise ValueError(
                f"compounds are {self.compounds}; expected numbers from 1, or 0 for no compound,"
                " and at least one compound"
            )
        limit = bounds(MixtureConfig, "concentration_low")
        if not all(limit.low <= amount <= limit.high for amount in self.concentrations):
            raise ValueError(
                f"concentrations are {self.concentrations}; expected {limit.low:g} to"
                f" {limit.high:g}"
            )
        if self.unknown and self.from_file:
            raise ValueError(
                "unknown is True for a mixture from a file; expected False: add it to the file"
            )
        if len(self.edits) > MAX_EDITS:
            raise ValueError(f"{len(self.edits)} edits; expected at most {MAX_EDITS}: undo some")

    @property
    def from_file(self) -> bool:
        """Whether the areas come from a file, so that nothing else is known about the mixture."""
        return self.number is None and not self.compounds

    @property
    def mixing(self) -> MixtureConfig:
        """`config`, or that of the preset."""
        return self.config or usual_config(self.preset)

    def realise(
        self,
        dataset: Dataset | None = None,
        library: Library | None = None,
        areas: np.ndarray | None = None,
    ) -> Realised:
        """Build the data, make the mixture, and edit it.

        Parameters
        ----------
        dataset : Dataset, optional
            The data of this spec, where they are built already.
        library : Library, optional
            The uploaded library, for the preset "own".
        areas : ndarray, shape (P, L), optional
            The mixture from a file.

        Raises
        ------
        EditError
            If an edit is not possible with this library.
        ValueError
            If a library or a file is missing, or the data have no such mixture or compound.
        """
        if dataset is None:
            if (library is None) == (self.preset == OWN):
                raise ValueError(
                    f"preset is {self.preset!r} and library is"
                    f" {'missing' if library is None else 'there'}; expected a library for the"
                    f" preset {OWN!r} alone"
                )
            name = "quick" if self.preset == OWN else self.preset
            dataset = build(name, self.seed, self.config, library)
        plain = self._plain(dataset, areas)
        return Realised(dataset, plain, apply(plain, self.edits, dataset.library))

    def _plain(self, dataset: Dataset, areas: np.ndarray | None) -> Mixture:
        if (areas is None) == self.from_file:
            raise ValueError(
                f"areas are {'missing' if areas is None else 'there'}; expected them for a mixture"
                " from a file, which has neither number nor compounds"
            )
        if areas is not None:
            return Mixture(areas)
        library = dataset.library
        if self.number is not None:
            if self.number > len(dataset.test):
                raise ValueError(
                    f"number is {self.number}; expected 1 to {len(dataset.test)}, the test mixtures"
                )
            mixtures = dataset.test_mixtures()[self.number - 1 : self.number]
        else:
            if max(self.compounds) > library.n_compounds:
                raise ValueError(
                    f"compounds are {self.compounds}; expected numbers up to {library.n_compounds},"
                    " the size of the library"
                )
            labels = np.array([k - 1 if k else library.n_compounds for k in self.compounds])
            order = np.argsort(labels, kind="stable")
            amounts = np.array(self.concentrations, dtype=np.float32)
            rng = generator(dataset.seed, "view")
            mixtures = mix_at(
                library, labels[order][None], amounts[order][None], dataset.config, rng
            )
        if self.unknown:
            rng = generator(dataset.seed, "unknown", (self.number or 1) - 1)
            mixtures = with_unknown(mixtures, unknown_compounds(library, 1, rng), np.ones(1))
        return Mixture.of(mixtures, 0)

    def link_values(self) -> dict[str, Any]:
        """Return the parameters of a link to this mixture, without those that have their default.

        A link holds no files and no libraries. In a link the lowest concentration is the inverse
        of the highest.
        """
        usual, mixing = usual_config(self.preset), self.mixing
        first = PRESETS[self.preset].first if self.preset in PRESETS else 1
        kind = "file" if self.from_file else "unseen" if self.number else "choose"
        values: list[tuple[str, Any, Any]] = [
            ("preset", self.preset, "metabolites"),
            ("seed", self.seed, SEED),
            ("sources", mixing.n_sources, usual.n_sources),
            ("repetition", mixing.repetition, usual.repetition),
            ("number_varies", mixing.number_varies, usual.number_varies),
            ("spread", round(float(mixing.concentration_high), 4), usual.concentration_high),
            ("jitter", mixing.shift_jitter, usual.shift_jitter),
            ("noise", mixing.noise, usual.noise),
            ("mixture", kind, "unseen"),
            ("number", self.number or first, first),
            ("unknown_compound", self.unknown, False),
            ("edits", to_text(self.edits), ""),
        ]
        for i, (k, amount) in enumerate(zip(self.compounds, self.concentrations, strict=True), 1):
            values += [(f"compound_{i}", k, i), (f"amount_{i}", amount, 1.0)]
        return {key: value for key, value, default in values if value != default}

    def link(self) -> dict[str, str]:
        """Return `link_values` as texts."""
        return {key: link_text(value) for key, value in self.link_values().items()}


def usual_config(preset: str) -> MixtureConfig:
    """Return the mixture configuration of a preset."""
    return PRESETS[preset].mixture if preset in PRESETS else MixtureConfig()


def link_text(value: object) -> str:
    """Return a value as the text of a link parameter."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
