"""Click to painted panel, what-if and time slider, and the server's part (Linux)."""

import os
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmrclassify.bench._browser import chromium, click_at, go, served, settled, wait_for_figure

if TYPE_CHECKING:
    from playwright.sync_api import Page

TURNS, STEPS = 21, 60

# Sets `window.painted` to a promise of the milliseconds from the next press of the mouse until the
# figure of this key shows other content than now. It resolves when the server has finished.
PAINTED = """
(key) => {
  const figure = () => document.querySelector(`.st-key-${key} .js-plotly-plot`);
  const panel = () => [...document.querySelectorAll('.st-key-cell-panel *')]
    .map(element => element.shadowRoot?.querySelector('.panel:not([hidden])')).find(Boolean);
  const content = () => {
    if (key === 'panel') return panel()?.querySelector('table') ? panel().textContent : '';
    const shown = figure();
    if (!shown?.querySelector('.heatmaplayer image, .barlayer path')) return null;
    const parts = trace => [trace.z?.bdata, trace.z, trace.x?.bdata, trace.x, trace.y];
    const text = part => JSON.stringify(part ?? null);
    const traces = shown.data.map(trace => parts(trace).map(text));
    const { shapes, annotations } = shown.layout;
    const places = shapes?.map(shape => [shape.x0, shape.y0]);
    return JSON.stringify([traces, places, annotations?.map(note => note.text)]);
  };
  const running = () =>
    document.querySelector('[data-testid=stApp][data-test-script-state=running]');
  const before = content();
  const promise = (resolve, reject) => document.addEventListener('pointerdown', () => {
    const began = performance.now();
    let painted = null;
    const check = () => {
      if (performance.now() - began > 20000)
        return reject(new Error('nothing was painted in 20 s'));
      const now = content();
      if (painted === null && now !== null && now !== before)
        requestAnimationFrame(() => requestAnimationFrame(() => {
          painted ??= performance.now() - began;
        }));
      if (painted !== null && !running())
        return setTimeout(() => resolve(painted), 150);
      requestAnimationFrame(check);
    };
    requestAnimationFrame(check);
  }, {once: true, capture: true});
  window.painted = new Promise(promise);
}
"""


class _Wire:
    """Times of the messages between page and server, from the network process of the browser.

    The clock of that process runs while the page draws. The browser draws on the same cores as the
    server computes, so the computing time of the server is measured too.
    """

    def __init__(self, page: "Page", pid: int):
        self.sent: list[float] = []
        self.received: list[float] = []
        self._pid, self._spent = pid, 0.0
        client = page.context.new_cdp_session(page)
        client.on("Network.webSocketFrameSent", lambda frame: self.sent.append(frame["timestamp"]))
        client.on(
            "Network.webSocketFrameReceived", lambda frame: self.received.append(frame["timestamp"])
        )
        client.send("Network.enable")

    def clear(self) -> None:
        """Start a new measurement."""
        self.sent.clear()
        self.received.clear()
        self._spent = self._computed()

    def _computed(self) -> float:
        """Return the computing time of all threads of the server so far, in ms (steps of 10)."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def times(self) -> dict[str, float]:
        """Return ms from the first request to the last response, and computing time in ms."""
        return {
            "server": 1000 * (self.received[-1] - self.sent[0]),
            "server_computing": self._computed() - self._spent,
        }


def _timed(page: "Page", wire: _Wire, key: str, press: Callable[[], None]) -> dict[str, float]:
    page.evaluate(PAINTED, key)
    wire.clear()
    press()
    painted = page.evaluate("() => window.painted")
    settled(page)
    return {"painted": painted} | wire.times()


def _button(page: "Page", name: str) -> Callable[[], None]:
    main = page.get_by_test_id("stMain")
    button = main.get_by_role("button", name=re.compile(rf"\b{name}\b")).first
    return lambda: button.click()


def _cell(page: "Page", key: str, column: float, row: float) -> Callable[[], None]:
    plot = page.locator(f".st-key-{key} .nsewdrag").first
    plot.scroll_into_view_if_needed()
    return lambda: click_at(page, plot, column, row)


def _summary(name: str, times: list[dict[str, float]]) -> dict:
    figures: dict[str, float | list[int]] = {}
    for part in times[0]:
        values = [time[part] for time in times]
        figures |= {
            f"{name}_{part}_ms_median": round(statistics.median(values)),
            f"{name}_{part}_ms_range": [round(min(values)), round(max(values))],
        }
    return figures


def _panel_of_filters(page: "Page", wire: _Wire, address: str) -> list[dict[str, float]]:
    """Click cells of the filters on the page Look inside."""
    page.goto(f"{address}/inside")
    wait_for_figure(page)
    settled(page)
    # A point inside each pattern: 12 columns, 6 rows.
    return [
        _timed(
            page,
            wire,
            "panel",
            _cell(page, "filters", (turn % 11 + 0.4) / 12, (turn % 5 + 0.4) / 6),
        )
        for turn in range(TURNS)
    ]


def _panel_of_masks(page: "Page", wire: _Wire, address: str) -> list[dict[str, float]]:
    """Click cells of the masks."""
    page.goto(f"{address}/masks")
    wait_for_figure(page)
    settled(page)
    return [
        _timed(page, wire, "panel", _cell(page, "masks", 0.27, 0.05 + 0.9 * turn / TURNS))
        for turn in range(TURNS)
    ]


def _what_if(page: "Page", wire: _Wire, address: str) -> list[dict[str, float]]:
    """Remove a multiplet and undo it; the bars of the classes change."""
    page.goto(f"{address}/whatif?position=7")
    wait_for_figure(page)
    settled(page)
    return [
        _timed(page, wire, "classes", _button(page, ("Remove it", "Undo")[turn % 2]))
        for turn in range(TURNS + 1)
    ]


def _time_slider(page: "Page", wire: _Wire, address: str) -> list[dict[str, float]]:
    """Train for some steps, then go back and forth through them."""
    page.goto(f"{address}/train?preset=quick&steps={STEPS}")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url(re.compile("model=2"), timeout=120_000)
    go(page, "Time travel")
    page.get_by_role("heading", name="Time travel", level=1).wait_for()
    wait_for_figure(page)
    settled(page)
    names = ["Step back"] * (TURNS // 2 + 1) + ["Step forward"] * (TURNS // 2)
    return [_timed(page, wire, "strip", _button(page, name)) for name in names]


def run() -> dict:
    """Return ms from click to painted figure, from request to last response, and computing time."""
    figures: dict[str, Any] = {}
    with served() as (address, pid), chromium() as browser:
        for part in (_panel_of_filters, _panel_of_masks, _what_if, _time_slider):
            page = browser.new_context(viewport={"width": 1366, "height": 900}).new_page()
            figures |= _summary(part.__name__.strip("_"), part(page, _Wire(page, pid), address))
            page.context.close()
    return figures | {"turns": TURNS}
