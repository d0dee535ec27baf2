"""What every page shares: the sidebar, and from it the data set, the model and the mixture that are looked at."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import streamlit as st

from .. import checkpoints, runs
from ..answers import Answer, Truth, all_right, answer, compare, verdict
from ..checkpoints import Checkpoint
from ..config import bounds
from ..drawing import Theme
from ..jobs import make_way
from ..library import Library
from ..mixtures import Dataset, MixtureConfig, Mixtures, foreign_compounds, generator, mix_at, with_unknown
from ..presets import PRESETS, build, preset
from ..training import TrainConfig, model_for, set_threads
from . import charts, link
from .session import training_box

PAGES = {
    "app.py": ("Overview", ":material/visibility:"),
    "pages/mixtures.py": ("Mixtures", ":material/science:"),
    "pages/train.py": ("Train or load", ":material/model_training:"),
    "pages/masks.py": ("Masks", ":material/gradient:"),
    "pages/separation.py": ("Separation and classes", ":material/call_split:"),
    "pages/evaluate.py": ("Evaluate", ":material/fact_check:"),
    "pages/robustness.py": ("Robustness", ":material/query_stats:"),
    "pages/scale.py": ("Full scale", ":material/zoom_in_map:"),
}
SEED = 7

set_threads()


@st.cache_resource(max_entries=1, show_spinner=False)
def shipped() -> Checkpoint:
    """The trained model that comes with the package; read-only."""
    return checkpoints.shipped()


@st.cache_resource(max_entries=16, show_spinner="Opening the run …")
def run_checkpoint(run_id: str) -> Checkpoint:
    """The model of a run on disk; read-only."""
    return checkpoints.load(runs.find(run_id).folder / "model.safetensors")


@st.cache_resource(max_entries=32, show_spinner=False)
def _dataset(name: str, seed: int, mixture: MixtureConfig) -> Dataset:
    return build(name, seed, mixture)


@st.cache_resource(max_entries=16, show_spinner=False)
def _untrained(name: str, seed: int, mixture: MixtureConfig, kind: str) -> Checkpoint:
    return _unlearned(_dataset(name, seed, mixture), kind)


def _unlearned(dataset: Dataset, kind: str) -> Checkpoint:
    return Checkpoint(model_for(dataset, dataset.seed, kind).requires_grad_(False), dataset, TrainConfig(), dataset.seed, 0, {})


@dataclass(frozen=True)
class View:
    """What a page shows.

    `sources`, `labels` and with them `truth` are None for a mixture from a file, whose truth is not known; `unknown` is what a
    compound from outside the library adds, or None.
    """

    dataset: Dataset
    checkpoint: Checkpoint
    model_name: str
    areas: np.ndarray
    sources: np.ndarray | None
    labels: np.ndarray | None
    concentrations: np.ndarray | None
    title: str
    theme: Theme
    unknown: np.ndarray | None = None

    @property
    def library(self) -> Library:
        """The compounds that are mixed and looked for."""
        return self.dataset.library

    @cached_property
    def answer(self) -> Answer:
        """What the model makes of the mixture."""
        return answer(self.checkpoint.model, self.areas)

    @cached_property
    def truth(self) -> Truth | None:
        """The sources matched to the outputs."""
        return None if self.sources is None else compare(
            self.answer, self.areas, self.sources, self.labels, self.checkpoint.training.reconstruction_weight, self.unknown,
            self.concentrations,
        )

    @property
    def seen(self) -> bool:
        """Whether the model was trained on this composition."""
        return self.labels is not None and bool(self.checkpoint.trained_on(self.labels[None])[0])

    @property
    def source_names(self) -> tuple[str, ...]:
        """What is really in the mixture, with amounts; empty where that is not known."""
        if self.labels is None:
            return ()
        parts = [(self.library.names[k], c) for k, c in zip(self.labels, self.concentrations) if k < self.library.n_compounds]
        foreign = ("a compound from outside the library",) if self.unknown is not None else ()
        return tuple(f"{name} ({c:.2g}x)" if abs(c - 1) > 1e-6 else name for name, c in parts) + foreign

    @property
    def parts(self) -> np.ndarray | None:
        """The sources that `source_names` names, shape (n, P, L); None where they are not known."""
        if self.sources is None:
            return None
        real = self.sources[self.labels < self.library.n_compounds]
        return real if self.unknown is None else np.concatenate([real, self.unknown[None]])

    @property
    def contents(self) -> str:
        """The true compounds in words."""
        return " + ".join(self.source_names) or "contents not known"


def fits(checkpoint: Checkpoint, dataset: Dataset) -> bool:
    """Whether a model can answer for a data set: the same library and, as slots need it, the same number of sources."""
    own, kind = checkpoint.dataset, checkpoint.model.kind
    same_number = own.config.n_sources == dataset.config.n_sources and own.config.number_varies == dataset.config.number_varies
    return np.array_equal(own.library.areas, dataset.library.areas) and (kind == "queries" or same_number)


def adopt(checkpoint: Checkpoint, model: str) -> None:
    """Make a checkpoint's own data set, and the checkpoint, what the pages show."""
    own = checkpoint.dataset
    name = own.preset if own.preset in PRESETS else "own"
    if name != "own" and not np.array_equal(_dataset(name, own.seed, own.config).library.areas, own.library.areas):
        name = "own"
    if name == "own":
        st.session_state["own library"] = own.library
    usual = PRESETS[name].mixture if name != "own" else MixtureConfig()
    spread = round(float(own.config.concentration_high), 4)
    for key, value, default in (
        ("preset", name, "metabolites"), ("seed", own.seed, SEED), ("model", model, None),
        ("sources", own.config.n_sources, usual.n_sources), ("repeat", own.config.repetition, usual.repetition), ("varies", own.config.number_varies, usual.number_varies),
        ("spread", spread, usual.concentration_high), ("jitter", own.config.shift_jitter, usual.shift_jitter),
        ("noise", own.config.noise, usual.noise), ("mixture", None, None), ("n", None, None), ("foreign", None, None),
    ):
        link.put(key, None if value == default else value)


@contextmanager
def frame(page: str) -> Iterator[list[str]]:
    """Start a page: configuration, sidebar with what the body draws into it, link. Yields the list of problems to add to."""
    make_way()
    st.set_page_config(page_title=f"{PAGES[page][0]} · nmrclassify", layout="wide")
    # Streamlit leaves a sixth of a small screen empty above the title.
    st.html("<style>.stMainBlockContainer { padding-top: 4rem; padding-bottom: 4rem; }</style>")
    problems = link.read(page)
    with st.sidebar:
        st.markdown("### nmrclassify")
        pages = st.container()
        st.divider()
        yield problems
    link.write()
    # Last, so that the links between pages carry the state as it is now.
    for path, (label, symbol) in PAGES.items():
        pages.page_link(path, label=label, icon=symbol, query_params=link.query())
    for problem in problems:
        st.warning(problem, icon=":material/link_off:")


def setup(page: str) -> View:
    """Start a page about the toy's data, model and mixture. Call first on every such page."""
    with frame(page) as problems:
        dataset = _choose_data(problems)
        checkpoint, model_name = _choose_model(dataset, problems)
        return _choose_mixture(dataset, checkpoint, model_name, problems)


def _choose_data(problems: list[str]) -> Dataset:
    own = _library_of_linked_run() or st.session_state.get("own library")
    names = [*PRESETS, "own"] if own is not None else list(PRESETS)
    titles = {name: recipe.title for name, recipe in PRESETS.items()} | {"own": "Own library"}
    if link.get("preset") == "own" and own is None:
        problems.append("The link asks for an uploaded library, which a link cannot carry; upload it on the page Mixtures.")
    name = link.widget(
        st.selectbox, "Data", "preset", "metabolites", options=names, format_func=titles.get, on_change=link.put, args=("n", None)
    )
    usual = preset(name).mixture if name != "own" else MixtureConfig()
    seed, sources, repeat = link.get("seed", SEED), link.get("sources", usual.n_sources), link.get("repeat", usual.repetition)
    varies = link.get("varies", usual.number_varies)
    spread, jitter, noise = (
        link.get(key, default)
        for key, default in (("spread", usual.concentration_high), ("jitter", usual.shift_jitter), ("noise", usual.noise))
    )
    # Drawn when opened: a first visit need not load the code of controls that it does not see.
    details = st.expander("How mixtures are made", icon=":material/tune:", key="mixing", on_change="rerun")
    if details.open:
        with details:
            seed = link.widget(
                st.number_input, "Seed", "seed", SEED, min_value=0, max_value=link.MAX_SEED, step=1,
                help="The same seed gives the same compounds, the same split and the same mixtures.",
            )
            limit = bounds(MixtureConfig, "n_sources")
            sources = link.widget(
                st.number_input, "Compounds in a mixture", "sources", usual.n_sources,
                min_value=int(limit.low), max_value=int(limit.high), step=1,
            )
            varies = link.widget(
                st.checkbox, "Their number varies, from 1 up", "varies", usual.number_varies,
                help="Mixtures hold any number of compounds up to the one above, and the network is not told how many.",
            )
            repeat = link.widget(st.checkbox, "The same compound may occur twice", "repeat", usual.repetition)
            spread = link.widget(
                st.slider, "Concentrations, up to this many times lower or higher", "spread", usual.concentration_high,
                min_value=1.0, max_value=10.0, step=0.1,
            )
            jitter = link.widget(
                st.slider, f"Shift jitter (positions{_in_ppm(name)})", "jitter", usual.shift_jitter, min_value=0.0, max_value=3.0,
                step=0.02, help="Standard deviation by which each multiplet moves from its place in the library.",
            )
            noise = link.widget(
                st.slider, "Noise (peak area)", "noise", usual.noise, min_value=0.0, max_value=1.0, step=0.01,
                help="Standard deviation of the noise on each peak area.",
            )
    mixture = MixtureConfig(sources, repeat, 1.0 / spread, spread, jitter, noise, varies)
    try:
        return build("quick", seed, mixture, own) if name == "own" else _dataset(name, seed, mixture)
    except ValueError as error:
        problems.append(f"{error}. The preset's own settings are used.")
        return build("quick", seed, library=own) if name == "own" else _dataset(name, seed, usual)


def _in_ppm(name: str) -> str:
    return " of 0.5 ppm" if name == "metabolites" else ""


def _library_of_linked_run() -> Library | None:
    try:
        return run_checkpoint(link.get("model", "")).dataset.library if link.get("preset") == "own" else None
    except ValueError:
        return None


def _choose_model(dataset: Dataset, problems: list[str]) -> tuple[Checkpoint, str]:
    found: dict[str, tuple[str, Checkpoint]] = {}
    wanted = link.get("model")
    training = training_box().job
    candidates = [("shipped", "The shipped model", shipped), ("upload", "The uploaded model", lambda: st.session_state.get("upload"))]
    if training is not None:
        candidates.append(("training", "This visit's training", training.checkpoint))
    if wanted and wanted not in ("shipped", "upload", "training", "untrained"):
        candidates.append((wanted, f"Run {wanted[:15]}", lambda: run_checkpoint(wanted)))
    for name, title, load in candidates:
        try:
            checkpoint = load()
        except ValueError as error:
            problems.append(f"{error}.")
            continue
        if checkpoint is not None and fits(checkpoint, dataset):
            found[name] = (title, checkpoint)
    # An own library has no recipe to rebuild it from, so its untrained network is not cached.
    kind = link.get("network", "queries")
    if dataset.preset in PRESETS:
        untrained = _untrained(dataset.preset, dataset.seed, dataset.config, kind)
    else:
        untrained = _unlearned(dataset, kind)
    found["untrained"] = ("Untrained network", untrained)
    default = "shipped" if "shipped" in found else "untrained"
    if wanted and wanted not in found:
        problems.append(f"The model {wanted[:40]!r} is not there for these data; {found[default][0].lower()} is used.")
    name = link.widget(st.selectbox, "Model", "model", default, options=list(found), format_func=lambda key: found[key][0])
    return found[name][1], found[name][0]


def _choose_mixture(dataset: Dataset, checkpoint: Checkpoint, model_name: str, problems: list[str]) -> View:
    own = st.session_state.get("own mixture")
    shape = dataset.library.areas.shape[1:]
    has_file = own is not None and own[1].shape == shape and own[2] == dataset.library.axis
    kinds = {"unseen": "Test set", "choose": "Choose"} | ({"file": "File"} if has_file else {})
    if link.get("mixture") == "file" and not has_file:
        problems.append("The link asks for an uploaded mixture, which a link cannot carry; upload it on the page Mixtures.")
    kind = link.widget(
        st.radio, "Mixture", "mixture", "unseen", options=list(kinds), format_func=kinds.get, horizontal=True,
        help="Test set: compositions kept out of training. Choose: any compounds you like.",
    )
    if kind == "file":
        return View(dataset, checkpoint, model_name, own[1], None, None, None, f"File {own[0]}", charts.theme())
    if kind == "choose":
        labels, concentrations = _choose_compounds(dataset)
        made = mix_at(dataset.library, labels, concentrations, dataset.config, generator(dataset.seed, "view"))
        if not made.areas.any():
            problems.append("No compound is chosen; the first one is used.")
            labels[0, 0] = 0
            made = mix_at(dataset.library, labels, np.ones_like(concentrations), dataset.config, generator(dataset.seed, "view"))
        return _view(dataset, checkpoint, model_name, made, 0, "Mixture of your choice")
    count = len(dataset.test)
    n = link.widget(st.number_input, f"Number, 1 to {count}", "n", _first(dataset), min_value=1, max_value=count, step=1)
    return _view(dataset, checkpoint, model_name, dataset.test_mixtures(), n - 1, f"Test mixture {n} of {count}")


def _view(dataset: Dataset, checkpoint: Checkpoint, model_name: str, made: Mixtures, i: int, title: str) -> View:
    foreign = link.widget(
        st.checkbox, "Add a compound from outside the library", "foreign", False,
        help="Real samples hold compounds that nobody listed. A network of queries should say so.",
    )
    made = made[i : i + 1]
    if foreign:
        made = with_unknown(made, foreign_compounds(dataset.library, 1, generator(dataset.seed, "unknown", i)), np.ones(1))
    return View(
        dataset, checkpoint, model_name, made.areas[0], made.sources[0], made.labels[0], made.concentrations[0], title,
        charts.theme(), None if made.unknown is None else made.unknown[0],
    )


def _choose_compounds(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    names, size = dataset.library.names, dataset.config.n_sources
    numbers = list(range(1, len(names) + 1)) + ([0] if dataset.config.number_varies else [])
    limit = bounds(MixtureConfig, "concentration_low")
    labels, concentrations = [], []
    for i in range(1, size + 1):
        left, right = st.columns([3, 2])
        with left:
            chosen = link.widget(
                st.selectbox, f"Compound {i}", f"c{i}", numbers[(i - 1) % len(names)], options=numbers,
                format_func=lambda number: names[number - 1] if number else "nothing",
            )
        with right:
            amount = link.widget(
                st.number_input, "Amount", f"a{i}", 1.0, min_value=limit.low, max_value=limit.high, step=0.25,
            )
        labels.append(chosen - 1 if chosen else len(names))
        concentrations.append(amount)
    order = np.argsort(labels, kind="stable")
    return np.array([labels])[:, order], np.array([concentrations], dtype=np.float32)[:, order]


def _first(dataset: Dataset) -> int:
    return min(PRESETS[dataset.preset].first if dataset.preset in PRESETS else 1, len(dataset.test))


def turn(change: int, dataset: Dataset) -> None:
    """Go to the next or previous test mixture, round and round."""
    link.put("mixture", None)
    link.put("n", (link.get("n", _first(dataset)) - 1 + change) % len(dataset.test) + 1)


def mixture_heading(view: View) -> None:
    """Say which mixture is shown, what is in it, and offer the neighbours."""
    may = "this composition may have come up in training" if view.checkpoint.training.remix else "the model was trained on this composition"
    note = may if view.seen else "never seen in training"
    known = view.labels is not None and view.checkpoint.step
    words, buttons = st.columns([5, 2], vertical_alignment="center")
    words.markdown(f"**{view.title}**: {view.contents}" + (f" · *{note}*" if known else ""))
    with buttons.container(horizontal=True, horizontal_alignment="right"):
        st.button("Previous", on_click=turn, args=(-1, view.dataset), icon=":material/chevron_left:")
        st.button("Next", on_click=turn, args=(1, view.dataset), icon=":material/chevron_right:", icon_position="right")
    if not view.checkpoint.step:
        st.info("This network is untrained: its masks are the weights it was born with. Train it on the page *Train or load*.")


def say_verdict(view: View) -> None:
    """Say in words what the network found, coloured by whether it is right, where that is known."""
    known = view.truth is not None
    right = known and all_right(view.answer, view.truth)
    show = st.success if right else st.warning if known else st.info
    show(verdict(view.answer, view.library.names, view.truth), icon=":material/record_voice_over:")


def amounts_table(view: View) -> pd.DataFrame:
    """Return what queries say of each compound that they find or that is there, beside the truth where that is known."""
    given, truth = view.answer, view.truth
    rows = np.flatnonzero((given.counts > 0) | (truth is not None and truth.counts > 0))
    table = pd.DataFrame(
        {
            "compound": [view.library.names[k] for k in rows], "probability": given.chances[0, rows],
            "count": given.counts[rows], "amount": given.amounts[rows],
        }
    )
    if truth is not None:
        table["true count"], table["true amount"] = truth.counts[rows], truth.amounts[rows]
    return table
