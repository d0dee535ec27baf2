"""A server of the app and a Chromium to drive it, for measurements and tests."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
    """Return what is missing to drive a browser, or None."""
    if shutil.which("chromium") is None:
        return f"no chromium on the PATH: {HOW}"
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return f"the package playwright is missing: {HOW}"
    return None


@contextmanager
def server(runs: Path | None = None) -> Iterator[str]:
    """Start a fresh server of the app, with a runs folder of its own, a copy of `runs` if that is given; yields its address."""
    with served(runs) as (address, _):
        yield address


@contextmanager
def served(runs: Path | None = None) -> Iterator[tuple[str, int]]:
    """As `server`; yields the process number as well."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as home:
        if runs is not None:
            shutil.copytree(runs, Path(home) / "runs")
        command = [
            sys.executable,
            "-m",
            "streamlit",
            "run",
            "app.py",
            "--server.headless",
            "true",
            "--server.address",
            "127.0.0.1",
        ]
        command += ["--server.port", str(port), "--server.fileWatcherType", "none"]
        environment = os.environ | {"NMRCLASSIFY_HOME": home, "OMP_WAIT_POLICY": "PASSIVE"}
        log = (Path(home) / "server.log").open(
            "w+b"
        )  # a pipe that nobody reads would block the server once it is full
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
def chromium():
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


def wait_for_figure(page, timeout: float = 30_000) -> None:
    """Wait until the page has a drawn figure."""
    page.wait_for_selector(".js-plotly-plot .main-svg", timeout=timeout)


def settled(page) -> None:
    """Wait until the server has nothing more to send."""
    page.wait_for_function(
        "!document.querySelector('[data-testid=stApp][data-test-script-state=running]')"
    )
    page.wait_for_timeout(400)


# Returns the words of figures that reach beyond their figure.
CUT_OFF = """
() => [...document.querySelectorAll('.stMain .js-plotly-plot')].flatMap(plot => {
  const box = plot.getBoundingClientRect();
  const beyond = text => { const r = text.getBoundingClientRect(); return r.width && (r.left < box.left - 2 || r.right > box.right + 2); };
  return [...plot.querySelectorAll('text')].filter(text => text.textContent.trim() && beyond(text)).map(text => text.textContent);
})
"""

# Clicks an element and resolves with the milliseconds until a figure with other data was painted.
# Streamlit mounts a new chart for new data, so the figure is looked up in each frame.
CLICK_TO_PAINTED = """
(button) => new Promise((resolve, reject) => {
  const figure = () => document.querySelector('.js-plotly-plot');
  const content = () => JSON.stringify((figure()?.data || []).map(trace => trace.z?.bdata || trace.x?.bdata || null));
  const drawn = () => figure()?.querySelector('.heatmaplayer image') && figure()?.querySelector('.barlayer path');
  const before = content(), began = performance.now();
  const look = () => {
    if (performance.now() - began > 20000) return reject(new Error('nothing was painted in 20 s'));
    if (figure() && drawn() && content() !== before)
      return requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - began)));
    requestAnimationFrame(look);
  };
  button.click();
  requestAnimationFrame(look);
})
"""

# Waits for an event, and sets `window.painted` to a promise of milliseconds on the page Full scale:
# `painted`, until another range is on the screen or, if `answer`, both figures and the metrics of
# another mixture; `finished`, until all of the page is. Traces begin at x0 with steps dx, so that
# only y and the range tell one figure from another.
PAINTED = """
({event, answer}) => {
  const all = what => [...document.querySelectorAll(what)];
  const figures = () => all('.js-plotly-plot').slice(0, answer ? 2 : 1);
  const content = figure => JSON.stringify([figure.layout?.xaxis?.range, (figure.data || []).map(trace => trace.y?.bdata)]);
  const drawn = figure => figure.querySelector('.scatterlayer path.js-line');
  const stale = elements => elements.some(element => element.closest('[data-stale=true]'));
  const running = () => all('[data-testid=stApp][data-test-script-state=running]').length;
  const texts = () => all('[data-testid=stMarkdown]').map(element => element.textContent);
  const heading = () => texts().find(text => /Library:/.test(text));
  const before = figures().map(content), headed = heading();
  const there = () => {
    const now = figures();
    const other = now.length === before.length && now.every((figure, i) => drawn(figure) && content(figure) !== before[i]);
    if (!other) return false;
    return !answer || (heading() !== headed && !stale(all('[data-testid=stMetric]')) && !stale(now));
  };
  window.painted = new Promise((resolve, reject) => document.addEventListener(event, () => {
    const began = performance.now();
    let seen = false, painted = null;
    const passed = then => requestAnimationFrame(() => requestAnimationFrame(() => then(performance.now() - began)));
    const look = () => {
      if (performance.now() - began > 20000) return reject(new Error('nothing was painted in 20 s'));
      if (!seen && there()) { seen = true; passed(value => { painted = value; }); }
      if (painted !== null && !running() && !stale(all('[data-testid=stElementContainer]')))
        return passed(finished => resolve({painted, finished}));
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  }, {once: true, capture: true}));
}
"""
