"""Scenes: states of the app that show one thing, each with a title and a page."""

from dataclasses import dataclass, field, replace

from nmrclassify.mixtures.presets import PRESETS
from nmrclassify.mixtures.spec import MixtureSpec, usual_config


@dataclass(frozen=True)
class Scene:
    """A state of the app that one press shows.

    Attributes
    ----------
    page : str
        The file of the page, as in "pages/masks.py".
    text : str
        One or two sentences: what to look at.
    model : str
        The packaged model, "reference" or "queries".
    state : dict
        Further parameters of the link, as texts.
    """

    title: str
    page: str
    text: str
    spec: MixtureSpec
    model: str = "reference"
    state: dict[str, str] = field(default_factory=dict)

    def link(self) -> dict[str, str]:
        """Return the parameters of the link to the scene, as texts."""
        model = {"model": self.model} if self.model != "reference" else {}
        return self.spec.link() | model | self.state


_FIRST = PRESETS["metabolites"].first
_USUAL = usual_config("metabolites")
DRIFT = 0.2  # positions

SCENES = (
    Scene(
        "Slots against queries",
        "pages/compare.py",
        "Two kinds of network on one mixture. Slots (A) have three outputs without an order;"
        " queries (B) have one for each compound of the library. Both are right.",
        MixtureSpec(number=_FIRST),
        state={"model_b": "queries"},
    ),
    Scene(
        "Two compounds collide",
        "pages/masks.py",
        "Lactate and valine both have a multiplet at 1 to 1.5 ppm. The framed bar has two colours:"
        " the masks divide it almost as the truth does.",
        MixtureSpec(number=17),
        state={"position": "2"},
    ),
    Scene(
        "Peaks drift",
        "app.py",
        "Every multiplet is shifted at random, by a fifth of a position. Now alanine is taken for"
        " lactate. Set the jitter to 0, and all three names are right.",
        MixtureSpec(
            number=4,
            config=replace(_USUAL, shift_jitter=DRIFT),
        ),
    ),
    Scene(
        "A compound that nobody listed",
        "pages/separation.py",
        "One compound of this mixture is not in the library. Queries name the three others, and say"
        " that there is something unknown.",
        MixtureSpec(number=4, unknown=True),
        model="queries",
    ),
    Scene(
        "Ten mixtures learnt by heart",
        "pages/lessons.py",
        "The network names every compound in its ten training mixtures, and far fewer in others.",
        MixtureSpec(number=_FIRST),
        state={"lesson": "memory", "lesson_step": "2"},
    ),
    Scene(
        "The mask that got it wrong",
        "pages/masks.py",
        "At 3.5 to 4 ppm everything is glycine, between two multiplets of creatinine. The masks"
        " give more of it to creatinine than to glycine. All three names are right.",
        MixtureSpec(seed=4, number=8),
        model="queries",
        state={"output": "9", "filter": "50", "position": "7"},
    ),
)
