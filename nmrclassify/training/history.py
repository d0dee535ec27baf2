"""The training history: the weights of a network at a bounded number of steps of its training."""

import copy
import gzip
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nmrclassify.files import MAX_HEADER_BYTES, TensorFile, tensor_bytes
from nmrclassify.networks.conv_tasnet import Network

MAX_BYTES = 24 * 1024 * 1024
MAX_FRAMES = 60
FILE = "timeline.safetensors"
PACKED_FRAMES = 20
_LEVELS = 4  # the steps of a packed change in its root mean square


class TrainingHistory:
    """Weights at up to `max_frames` steps: close together early, when most is learnt, wider later.

    A frame holds what training changes, exactly, in one vector. What training does not change, such
    as a library, is kept once.

    Parameters
    ----------
    model : Network
        Gives the shapes, and what training does not change; copied.
    max_frames, max_bytes : int
        The lower of the two limits holds, but at least three frames are kept.
    """

    def __init__(self, model: Network, max_frames: int = MAX_FRAMES, max_bytes: int = MAX_BYTES):
        self._template = copy.deepcopy(model).requires_grad_(False).eval()
        size = len(weights_of(model))
        self._max_frames = max(3, min(max_frames, max_bytes // (4 * size)))
        self.origin = object()  # the same for all snapshots of one history
        # Replaced as a whole, so that pages can read while training writes.
        self._frames: tuple[tuple[int, Tensor], ...] = ()

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps of the frames, increasing."""
        return tuple(step for step, _ in self._frames)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._frames)

    @property
    def nbytes(self) -> int:
        """Memory of all frames."""
        return sum(frame.nbytes for _, frame in self._frames)

    def snapshot(self) -> "TrainingHistory":
        """Return a copy that later frames do not change."""
        return copy.copy(self)

    def due(self, step: int) -> bool:
        """Whether `step` is far enough from the last frame, on the scale of its root."""
        if len(self._frames) < self._max_frames // 2:
            return True
        before = self._frames[-1][0] if self._frames else -1
        return _place(step) - _place(before) >= _place(step) / self._max_frames

    def add(self, step: int, model: Network) -> None:
        """Keep the weights at `step`; of too many frames, drop the one with the closest neighbours.

        A frame of the same step is replaced.
        """
        self.keep(step, weights_of(model))

    def keep(self, step: int, weights: Tensor) -> None:
        """Do as `add` does, with what `weights_of` returned."""
        frames = [frame for frame in self._frames if frame[0] < step]
        frames.append((step, weights))
        while len(frames) > self._max_frames:
            places = [_place(s) for s, _ in frames]
            crowded = min(range(1, len(frames) - 1), key=lambda i: places[i + 1] - places[i - 1])
            del frames[crowded]
        self._frames = tuple(frames)

    def release(self) -> None:
        """Drop all frames but the last, to free their memory."""
        self._frames = self._frames[-1:]

    def nearest(self, step: int) -> int:
        """Return the step of the frame nearest to `step`.

        Raises
        ------
        ValueError
            If there is no frame yet.
        """
        if not self._frames:
            raise ValueError("this training history is empty; train at least one step")
        return min(self.steps, key=lambda frame_step: abs(frame_step - step))

    def network(self, step: int) -> Network:
        """Return a copy of the network as it was at the frame nearest to `step`."""
        model = self.network_of(dict(self._frames)[self.nearest(step)])
        model.trained = self.nearest(step) > 0
        return model

    def network_of(self, weights: Tensor) -> Network:
        """Return a copy of the network with what `weights_of` returned."""
        model = copy.deepcopy(self._template)
        _put(model, weights)
        return model

    @torch.inference_mode()
    def presences(
        self, areas: np.ndarray, slot: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return `Network.presence` and `Network.names` of one mixture (P, L) at each frame.

        Both have the shape (frames, classes).
        """
        model, mixture = (
            copy.deepcopy(self._template),
            torch.from_numpy(np.ascontiguousarray(areas, dtype=np.float32))[None],
        )
        presences, names = [], []
        for _, frame in self._frames:
            _put(model, frame)
            output, _ = model(mixture)
            presences.append(model.presence(output, slot)[0])
            names.append(model.names(output, slot)[0])
        return torch.stack(presences).numpy(), torch.stack(names).numpy()

    def to_bytes(self) -> bytes:
        """Serialise the frames."""
        frames = (
            torch.stack([frame for _, frame in self._frames]) if self._frames else torch.empty(0, 0)
        )
        return tensor_bytes({"frames": frames}, "steps", self.steps)

    def packed(self, max_frames: int = PACKED_FRAMES) -> bytes:
        """Serialise at most `max_frames` frames for `unpack`, with about 4 bits for each weight.

        The last frame is not written: it is the trained model, exactly. Each earlier frame is
        written as its change from the frame after it, rounded to a quarter of the root mean square
        of the change of each parameter. A change is taken from what a reader gets for the frame
        after it, so that the rounding errors of several frames do not add up.
        """
        thinned = TrainingHistory(self._template, max_frames)
        for step, frame in self._frames:
            thinned.keep(step, frame)
        sizes = [value.numel() for value in _kept(self._template)]
        *earlier, (_, after) = thinned._frames
        codes, scales = [], []
        for _, frame in reversed(earlier):
            changes = (frame - after).split(sizes)
            scale = torch.stack(
                [
                    torch.maximum(c.square().mean().sqrt() / _LEVELS, c.abs().max() / 127)
                    for c in changes
                ]
            )
            code = torch.cat(
                [(c / s.clamp_min(1e-30)).round() for c, s in zip(changes, scale, strict=True)]
            )
            codes.append(code.to(torch.int8))
            scales.append(scale)
            after = _before(after, codes[-1], scale, sizes)
        tensors = {"codes": torch.stack(codes[::-1]), "scales": torch.stack(scales[::-1])}
        # Without the time of day, so that the same training gives the same bytes.
        return gzip.compress(tensor_bytes(tensors, "steps", thinned.steps), mtime=0)


def weights_of(model: Network) -> Tensor:
    """Return what training changes in one vector, shape (weights,); a copy."""
    return torch.cat([value.detach().flatten() for value in _kept(model)]).clone()


def load(path: Path, model: Network) -> TrainingHistory:
    """Read the frames of a run; `model` is the run's network.

    Raises
    ------
    ValueError
        If there are none, or they do not fit the network.
    """
    training_history = TrainingHistory(model)
    size = len(weights_of(model))
    try:
        file = TensorFile.read(path, "steps", MAX_FRAMES * 4 * size + MAX_HEADER_BYTES)
        steps = file.header
        rising = (
            isinstance(steps, list)
            and all(type(step) is int for step in steps)
            and all(a < b for a, b in zip([-1, *steps], steps, strict=False))
        )
        if not rising or not 1 <= len(steps) <= MAX_FRAMES:
            raise ValueError(
                f"the steps are {str(steps)[:60]}; expected 1 to {MAX_FRAMES} rising whole numbers"
            )
        frames = file.arrays({"frames": ("F32", (len(steps), size))})["frames"]
    except (OSError, ValueError) as error:
        raise ValueError(
            f"the training history of this run cannot be read ({error}); train again"
        ) from error
    training_history._frames = tuple(zip(steps, torch.from_numpy(frames), strict=True))
    return training_history


def unpack(content: bytes, model: Network) -> TrainingHistory:
    """Return the frames that `TrainingHistory.packed` wrote; `model` is the trained network.

    For files of the package only: the size of what is unpacked is not bounded.
    """
    history = TrainingHistory(model)
    file = TensorFile.read(gzip.decompress(content), "steps", MAX_BYTES, name="the packed frames")
    steps, sizes = file.header, [value.numel() for value in _kept(model)]
    arrays = file.arrays(
        {
            "codes": ("I8", (len(steps) - 1, sum(sizes))),
            "scales": ("F32", (len(steps) - 1, len(sizes))),
        }
    )
    codes, scales = (torch.from_numpy(arrays[name]) for name in ("codes", "scales"))
    frames = [weights_of(model)]
    for code, scale in zip(codes.flip(0), scales.flip(0), strict=True):
        frames.append(_before(frames[-1], code, scale, sizes))
    history._frames = tuple(zip(steps, frames[::-1], strict=True))
    return history


def first_decided(steps: tuple[int, ...], named: np.ndarray) -> int | None:
    """Return the first step from which on a class is always named, or None.

    Parameters
    ----------
    named : ndarray, shape (frames,), bool
    """
    without = np.flatnonzero(~named)
    first = without[-1] + 1 if len(without) else 0
    return steps[first] if first < len(steps) else None


def _place(step: int) -> float:
    return math.sqrt(step + 1)


def _before(after: Tensor, code: Tensor, scale: Tensor, sizes: list[int]) -> Tensor:
    """Return the frame before `after` from its packed change."""
    steps = torch.repeat_interleave(scale, torch.tensor(sizes))
    return after + code * steps


def _kept(model: Network) -> list[Tensor]:
    # Of the buffers only the temperature changes, at the end of a training.
    return [*model.parameters(), model.temperature]


@torch.no_grad()
def _put(model: Network, frame: Tensor) -> None:
    """Write what `weights_of` returned into a model."""
    parts = frame.split([value.numel() for value in _kept(model)])
    for value, part in zip(_kept(model), parts, strict=True):
        value.copy_(part.view_as(value))
    model.constrain()  # the rounding of a packed frame can make a weight slightly negative
