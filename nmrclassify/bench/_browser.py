"""A server of the app and a Chromium to use it, for measurements and tests."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

ROOT = Path(__file__).parents[2]
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
HOW = (
    "install Debian's package chromium (or any Chromium on the PATH) and `pip install -r"
    " tests/requirements.txt`"
)


def missing() -> str | None:
    """Return what is missing to use a browser, or None."""
    if shutil.which("chromium") is None:
        return f"no chromium on the PATH: {HOW}"
    if find_spec("playwright") is None:
        return f"the package playwright is missing: {HOW}"
    return None


@contextmanager
def server(runs: Path | None = None, script: Path = ROOT / "app.py") -> Iterator[str]:
    """Start a new server of the app, with a copy of the folder `runs`; yields its address.

    `script`: the first page of another app.
    """
    with served(runs, script) as (address, _):
        yield address


def free_port() -> int:
    """Return the number of a port that no server uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def served(
    runs: Path | None = None,
    script: Path = ROOT / "app.py",
    home: Path | None = None,
    port: int | None = None,
) -> Iterator[tuple[str, int]]:
    """Start a server as `server` does; yields its address and its process number.

    Parameters
    ----------
    home, port : optional
        NMRCLASSIFY_HOME and the port of a server that is to be started again.
    """
    port = port or free_port()
    # A training saves its state there once the server has gone.
    own = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    with own if home is None else nullcontext(str(home)) as folder:
        if runs is not None:
            shutil.copytree(runs, Path(folder) / "runs")
        command = [
            sys.executable,
            "-m",
            "streamlit",
            "run",
            str(script),
            "--server.headless",
            "true",
            "--server.address",
            "127.0.0.1",
        ]
        command += ["--server.port", str(port), "--server.fileWatcherType", "none"]
        environment = os.environ | {"NMRCLASSIFY_HOME": folder, "OMP_WAIT_POLICY": "PASSIVE"}
        # A file: a pipe that nobody reads would block the server when it is full.
        log = (Path(folder) / "server.log").open("w+b")
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        address = f"http://127.0.0.1:{port}"
        try:
            for _ in range(600):
                try:
                    with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5):
                        break
                except OSError:
                    if process.poll() is not None:
                        break
                    time.sleep(0.1)
            else:
                process.terminate()
            if process.poll() is not None:
                log.seek(0)
                raise ValueError(f"the server did not start: {log.read().decode()[-500:]}")
            yield address, process.pid
        finally:
            process.terminate()
            process.wait(20)
            log.close()


@contextmanager
def chromium() -> Iterator["Browser"]:
    """Start Chromium; yields Playwright's browser.

    Raises
    ------
    ValueError
        If Chromium or Playwright is missing, with how to get it.
    """
    problem = missing()
    if problem:
        raise ValueError(problem)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(FLAGS)
        )
        try:
            yield browser
        finally:
            browser.close()


def go(page: "Page", label: str) -> None:
    """Open a page of the app as a visitor does: its place in the sidebar, then its tab."""
    from nmrclassify.ui.places import PLACES

    place = next(
        place for place in PLACES if any(tab.label == label for tab in place.pages.values())
    )
    tab = page.locator(".st-key-tabs").get_by_role("link", name=label, exact=True)
    if place.label == label or not tab.count():
        page.locator(".st-key-places").get_by_role("link", name=place.label, exact=True).click()
        page.locator(".st-key-places").locator(
            "[aria-current=page]", has_text=place.label
        ).wait_for()
    if place.label != label:
        tab.click()
        page.locator(".st-key-tabs").locator("[aria-current=page]", has_text=label).wait_for()


TRAINS = re.compile(r"^Training: \d")


def start_training(page: "Page", button: str = "Start") -> None:
    """Start a training on the page Train or load, and wait for its first step."""
    page.get_by_role("button", name=button).click()
    page.get_by_text(TRAINS).first.wait_for(timeout=300_000)  # on a busy machine


def wait_for_figure(page: "Page", timeout: float = 30_000) -> None:
    """Wait until the page has a drawn figure."""
    page.wait_for_selector(".js-plotly-plot .main-svg", timeout=timeout)


def wait_for_network(page: "Page", timeout: float = 30_000) -> None:
    """Wait until the page has drawn the picture of the network."""
    page.wait_for_selector(".diagram canvas", timeout=timeout)


def settled(page: "Page") -> None:
    """Wait until the server sends nothing more."""
    page.wait_for_function(
        "!document.querySelector('[data-testid=stApp][data-test-script-state=running]')"
    )
    page.wait_for_timeout(400)


def click_at(page: "Page", element: "Locator", column: float, row: float) -> None:
    """Click a point of an element; `column` and `row` are shares of its size."""
    box = element.bounding_box()
    if box is None:
        raise ValueError(f"{element} is not visible; expected it on the page")
    page.mouse.click(box["x"] + column * box["width"], box["y"] + row * box["height"])


# Returns the texts that reach beyond their figure.
CUT_OFF = """
() => [...document.querySelectorAll('.stMain .js-plotly-plot')].flatMap(plot => {
  const box = plot.getBoundingClientRect();
  const beyond = text => {
    const r = text.getBoundingClientRect();
    return r.width && (r.left < box.left - 2 || r.right > box.right + 2);
  };
  return [...plot.querySelectorAll('text')]
    .filter(text => text.textContent.trim() && beyond(text)).map(text => text.textContent);
})
"""

# Returns the texts of figures that lie over another heading, or under Plotly's toolbar.
COVERED = """
() => [...document.querySelectorAll('.stMain .js-plotly-plot')].flatMap(plot => {
  const over = (a, b) => {
    const [p, q] = [a.getBoundingClientRect(), b.getBoundingClientRect()];
    return p.width && q.width && p.left < q.right - 1 && q.left < p.right - 1
      && p.top < q.bottom - 1 && q.top < p.bottom - 1;
  };
  const all = what => [...plot.querySelectorAll(what)];
  const notes = all('.annotation-text-g'), bars = [...all('.modebar-btn'), ...notes];
  return [...notes, ...all('.colorbar, .gtitle, .nsewdrag')].filter(part => bars.some(
    bar => bar !== part && (notes.includes(part) || !notes.includes(bar)) && over(bar, part)
  )).map(part => part.textContent || part.getAttribute('class'));
})
"""

# Sets `window.painted` to a promise of the milliseconds from the next press or move of the pointer
# until the network's picture shows other content and is painted: another mixture, the arithmetic of
# a cell ("panel"), or another position ("position").
NETWORK_PAINTED = """
(what) => {
  const find = () => [...document.querySelectorAll('*')]
    .map(element => element.shadowRoot?.querySelector('.diagram')).find(Boolean);
  let root = find();
  const content = () => {
    if (!root?.isConnected) root = find();
    if (what === 'mixture') return root?.querySelector('[data-key=mixture] canvas')?.toDataURL();
    if (what === 'position') return root?.querySelector('.overlay')?.dataset.position;
    // The panel stands at the foot of the page.
    const panel = [...document.querySelectorAll('.st-key-cell-panel *')]
      .map(element => element.shadowRoot?.querySelector('.panel:not([hidden])')).find(Boolean);
    return panel?.querySelector('table') && panel.textContent;
  };
  const event = what === 'position' ? 'pointermove' : 'pointerdown';
  window.painted = new Promise((resolve, reject) => document.addEventListener(event, () => {
    const before = content(), began = performance.now();
    const check = () => {
      if (performance.now() - began > 20000) reject(new Error('nothing was painted in 20 s'));
      else if (content() && content() !== before)
        requestAnimationFrame(() => resolve(performance.now() - began));
      else requestAnimationFrame(check);
    };
    requestAnimationFrame(check);
  }, {once: true, capture: true}));
}
"""

# Waits for an event, and sets `window.painted` to a promise of milliseconds on the page Full scale:
# `painted`, until the screen shows another range or, with `prediction`, both figures and the
# metrics of another mixture; `finished`, until it shows the whole page. Traces have x0 and dx in
# place of x: figures differ only in y and in the range.
PAINTED = """
({event, prediction}) => {
  const all = what => [...document.querySelectorAll(what)];
  const figures = () => all('.js-plotly-plot').slice(0, prediction ? 2 : 1);
  const content = figure => JSON.stringify(
    [figure.layout?.xaxis?.range, (figure.data || []).map(trace => trace.y?.bdata)]);
  const drawn = figure => figure.querySelector('.scatterlayer path.js-line');
  const stale = elements => elements.some(element => element.closest('[data-stale=true]'));
  const running = () => all('[data-testid=stApp][data-test-script-state=running]').length;
  const texts = () => all('[data-testid=stMarkdown]').map(element => element.textContent);
  const heading = () => texts().find(text => /Library:/.test(text));
  const before = figures().map(content), headed = heading();
  const is_new = () => {
    const now = figures();
    const other = now.length === before.length
      && now.every((figure, i) => drawn(figure) && content(figure) !== before[i]);
    if (!other) return false;
    return !prediction
      || (heading() !== headed && !stale(all('[data-testid=stMetric]')) && !stale(now));
  };
  window.painted = new Promise((resolve, reject) => document.addEventListener(event, () => {
    const began = performance.now();
    let seen = false, painted = null;
    const passed = then => requestAnimationFrame(() => requestAnimationFrame(() =>
      then(performance.now() - began)));
    const check = () => {
      if (performance.now() - began > 20000)
        return reject(new Error('nothing was painted in 20 s'));
      if (!seen && is_new()) { seen = true; passed(value => { painted = value; }); }
      if (painted !== null && !running() && !stale(all('[data-testid=stElementContainer]')))
        return passed(finished => resolve({painted, finished}));
      requestAnimationFrame(check);
    };
    requestAnimationFrame(check);
  }, {once: true, capture: true}));
}
"""
