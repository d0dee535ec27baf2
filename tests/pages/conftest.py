"""The app as tests of its pages use it."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from nmrclassify.training import runs
from nmrclassify.training.checkpoints import Checkpoint
from nmrclassify.training.recipes import recipe
from nmrclassify.training.trainer import Trainer
from nmrclassify.training.visits import VISITS
from nmrclassify.ui import model_picker

APP = Path(__file__).resolve().parents[2] / "app.py"
CACHES_OF_RUNS = (
    model_picker.run_checkpoint,
    model_picker._run_training_history,
    model_picker._run_rows,
)


class App(AppTest):
    """The app after a run, with what most tests read or do."""

    @property
    def texts(self) -> str:
        """All texts of the page, also those that unfold."""
        kinds = ("title", "markdown", "caption", "success", "info", "warning", "error", "subheader")
        elements = [element for kind in kinds for element in getattr(self, kind)]
        helps = [getattr(element.proto, "help", "") for element in elements]
        return "\n".join([element.value for element in elements] + helps)

    @property
    def link(self) -> dict[str, str]:
        """The parameters of the link: lists where AppTest set them, strings where the app did."""
        return {
            key: value if isinstance(value, str) else value[0]
            for key, value in dict(self.query_params).items()
        }

    @property
    def figures(self) -> list[dict]:
        """The Plotly figures of the page."""
        return [json.loads(chart.proto.spec) for chart in self.get("plotly_chart")]

    def component(self, name: str) -> dict:
        """Return what a component of the page is drawn from."""
        (found,) = (
            part for part in self.get("bidi_component") if part.proto.component_name == name
        )
        return json.loads(found.proto.json)

    @property
    def network(self) -> dict:
        """What the picture of the network is drawn from."""
        return self.component("nmrclassify_diagram")

    @property
    def panel(self) -> dict:
        """What the panel at the foot of the page is drawn from."""
        return self.component("nmrclassify_cell_panel")

    def figure(self, key: str) -> dict:
        """Return the figure that the page shows under a key."""
        charts = self.get("plotly_chart")
        (chart,) = (chart for chart in charts if chart.proto.id.endswith(f"-{key}"))
        return json.loads(chart.proto.spec)

    @property
    def metric_values(self) -> dict[str, str]:
        """The metrics of the page by their labels."""
        return {metric.label: metric.value for metric in self.metric}

    @property
    def progress_text(self) -> str:
        """The text on the progress bar."""
        return "".join(bar.proto.text for bar in self.get("progress"))

    def run_later(self) -> None:
        """Run again after a moment, in which a training's process can start."""
        time.sleep(0.5)
        self.run()

    def has_button(self, label: str) -> bool:
        """Return whether the page has a button that can be pressed."""
        return any(b.label == label and not b.disabled for b in self.button)

    def press(self, label: str) -> None:
        """Press a button."""
        next(b for b in self.button if b.label == label).click().run()
        assert not self.exception, self.exception

    def upload(self, label: str, content: str | bytes, name: str = "mine.csv") -> None:
        """Upload a file."""
        content = content.encode() if isinstance(content, str) else content
        uploader = next(u for u in self.file_uploader if u.label == label)
        uploader.upload(name, content, "text/csv").run()
        assert not self.exception, self.exception


@pytest.fixture
def cookies(monkeypatch):
    """The cookies that the browser sends; AppTest has none."""
    cookies = {}
    monkeypatch.setattr(type(st.context), "cookies", cookies)
    return cookies


@pytest.fixture
def open_page(cookies):
    """Return a function that opens a page as a link does."""

    def open_page(page: str = "app.py", **query) -> App:
        app = App(APP, default_timeout=60)
        for key, value in query.items():
            app.query_params[key] = str(value)
        if page != "app.py":
            app.switch_page(page)
        app.run()
        assert not app.exception, app.exception
        return app

    yield open_page
    VISITS.end_unseen(0)
    # Runs of different tests have one name. All else keeps what does not change, as a server does.
    for cached in CACHES_OF_RUNS:
        cached.clear()


def train(trainer: Trainer, every: int) -> tuple[Checkpoint, Trainer]:
    """Train to the end, with a step to keep in so many."""
    *_, last = trainer.snapshots(every)
    return Checkpoint.from_trainer(trainer, last.test), trainer


def save(checkpoint: Checkpoint, trainer: Trainer) -> str:
    """Save a training as a run with its steps; return its name."""
    name = f"20260101-000000-{checkpoint.model.kind}-quick-s3-0123456789ab"
    runs.save(checkpoint, trainer.history, runs.home() / name, "cli", trainer.training_history)
    return name


@pytest.fixture
def saved_run(home) -> Callable[..., str]:
    """Train to the end, save the run with a step in so many, and return its name."""
    return lambda trainer, every: save(*train(trainer, every))


@pytest.fixture(scope="session")
def thirty_steps(quick) -> tuple[Checkpoint, Trainer]:
    """A short training of the quick preset."""
    config = replace(recipe("queries"), steps=30, batch_size=16)
    return train(Trainer(quick, config, kind="queries"), 10)


@pytest.fixture
def run_id(home, thirty_steps) -> str:
    """The short training, kept as a run with its steps."""
    return save(*thirty_steps)
