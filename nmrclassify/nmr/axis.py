"""The axis of spectra and multiplets: 21 positions in the toy, 65,536 over 13 ppm at full scale."""

from dataclasses import dataclass

import numpy as np

MAX_POSITIONS = 2**20
MHZ_BOUNDS = (10.0, 2000.0)


@dataclass(frozen=True)
class Axis:
    """The axis of multiplets: `n_positions` equal bins from `low` to `high`, in `unit`.

    `mhz` is the proton frequency of the spectrometer: a coupling of J Hz splits a multiplet by
    J / mhz ppm.
    """

    n_positions: int = 21
    low: float = 0.0
    high: float = 21.0
    unit: str = "position"
    mhz: float = 600.0

    def __post_init__(self) -> None:
        """Check the values."""
        fits = -1e4 < self.low < self.high < 1e4 and 1 <= self.n_positions <= MAX_POSITIONS
        if self.unit not in ("position", "ppm") or not fits:
            raise ValueError(
                f"axis is {self.n_positions} bins of {self.low!r} to {self.high!r} {self.unit!r};"
                f" expected 1 to {MAX_POSITIONS:,} bins, low below high, and unit 'ppm' or"
                " 'position'"
            )
        if not MHZ_BOUNDS[0] <= self.mhz <= MHZ_BOUNDS[1]:
            raise ValueError(
                f"axis is at {self.mhz!r} MHz; expected the spectrometer's proton frequency, 10 to"
                " 2000 MHz"
            )

    @property
    def width(self) -> float:
        """Width of one position, in `unit`."""
        return (self.high - self.low) / self.n_positions

    @property
    def hz_per_position(self) -> float:
        """Width of one position in Hz.

        Raises
        ------
        ValueError
            If the axis is not in ppm: a bare position has no frequency.
        """
        if self.unit != "ppm":
            raise ValueError(
                f"axis is in unit {self.unit!r}, which has no width in Hz; use an axis in 'ppm'"
            )
        return self.width * self.mhz

    @property
    def centres(self) -> np.ndarray:
        """Value of each position, shape (L,): the bin's centre in ppm, or the index in the toy."""
        index = np.arange(self.n_positions)
        return (
            index.astype(float)
            if self.unit == "position"
            else self.low + (index + 0.5) * self.width
        )

    @property
    def title(self) -> str:
        """Axis title with its unit, for figures."""
        return "position" if self.unit == "position" else f"chemical shift ({self.unit})"

    def position(self, value: float) -> int:
        """Return the position that `value` falls in.

        Raises
        ------
        ValueError
            If the value lies outside the axis or is not a number.
        """
        if not self.low <= value < self.high:
            raise ValueError(
                f"{self.unit} is {value:g}; expected {self.low:g} to below {self.high:g}"
            )
        return min(int((value - self.low) / self.width), self.n_positions - 1)

    def positions(self, values: np.ndarray) -> np.ndarray:
        """Return the position of each value, int64, in the shape of `values`.

        It is -1 where a value is outside the axis or not a number. Such a value is not moved to the
        end of the axis, because a line beyond the measured window leaves nothing inside it.
        """
        values = np.asarray(values, dtype=np.float64)
        inside = (self.low <= values) & (values < self.high)
        index = ((np.where(inside, values, self.low) - self.low) / self.width).astype(np.int64)
        return np.where(inside, np.minimum(index, self.n_positions - 1), -1)


PPM_AXIS = Axis(n_positions=21, low=0.0, high=10.5, unit="ppm")
FULL_AXIS = Axis(n_positions=65_536, low=-1.0, high=12.0, unit="ppm", mhz=600.0)
