"""Inspector, what-if and time slider in Chromium: from the click to the painted answer, and how much of it is the server's (Linux)."""

import os
import re
import statistics
from pathlib import Path

from nmrclassify.bench._browser import chromium, served, settled, wait_for_figure

TURNS, STEPS = 21, 60

# Sets `window.painted` to a promise of what passed from the next press of the mouse until the
# figure of this key drew other content than now, and the page had heard all of the server.
PAINTED = """
(key) => {
  const figure = () => document.querySelector(`.st-key-${key} .js-plotly-plot`);
  const content = () => {
    const shown = figure();
    if (!shown?.querySelector('.heatmaplayer image, .barlayer path')) return null;
    const traces = shown.data.map(trace => [trace.z?.bdata, trace.z, trace.x?.bdata, trace.x, trace.y].map(part => JSON.stringify(part ?? null)));
    const { shapes, annotations } = shown.layout;
    return JSON.stringify([traces, shapes?.map(shape => [shape.x0, shape.y0]), annotations?.map(note => note.text)]);
  };
  const running = () => document.querySelector('[data-testid=stApp][data-test-script-state=running]');
  const before = content();
  window.painted = new Promise((resolve, reject) => document.addEventListener('pointerdown', () => {
    const began = performance.now();
    let painted = null;
    const look = () => {
      if (performance.now() - began > 20000) return reject(new Error('nothing was painted in 20 s'));
      const now = content();
      if (painted === null && now !== null && now !== before)
        requestAnimationFrame(() => requestAnimationFrame(() => { painted ??= performance.now() - began; }));
      if (painted !== null && !running())
        return setTimeout(() => resolve(painted), 150);
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  }, {once: true, capture: true}));
}
"""


class _Wire:
    """What goes over the page's wire, as the browser's network process sees it: its clock runs on while the page draws.

    The browser draws on the same cores meanwhile, so that the server's computing time is taken as
    well.
    """

    def __init__(self, page, pid: int):
        self.asked, self.answered, self._pid, self._spent = [], [], pid, 0.0
        client = page.context.new_cdp_session(page)
        client.on("Network.webSocketFrameSent", lambda frame: self.asked.append(frame["timestamp"]))
        client.on(
            "Network.webSocketFrameReceived", lambda frame: self.answered.append(frame["timestamp"])
        )
        client.send("Network.enable")

    def clear(self) -> None:
        """Forget what was before."""
        self.asked.clear()
        self.answered.clear()
        self._spent = self._computed()

    def _computed(self) -> float:
        """Return the milliseconds that all threads of the server have computed so far; it counts in hundredths of a second."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def times(self) -> dict[str, float]:
        """Return milliseconds from the first request to the last answer, and those that the server computed."""
        return {
            "server": 1000 * (self.answered[-1] - self.asked[0]),
            "server_computing": self._computed() - self._spent,
        }


def _timed(page, wire: _Wire, key: str, press) -> dict:
    page.evaluate(PAINTED, key)
    wire.clear()
    press()
    painted = page.evaluate("() => window.painted")
    settled(page)
    return {"painted": painted} | wire.times()


def _button(page, name: str):
    found = (
        page.get_by_test_id("stMain").get_by_role("button", name=re.compile(rf"\b{name}\b")).first
    )
    return lambda: found.click()


def _cell(page, key: str, column: float, row: float):
    plot = page.locator(f".st-key-{key} .nsewdrag").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    return lambda: page.mouse.click(
        box["x"] + column * box["width"], box["y"] + row * box["height"]
    )


def _measured(name: str, times: list[dict]) -> dict:
    found = {}
    for part in times[0]:
        values = [time[part] for time in times]
        found |= {
            f"{name}_{part}_ms_median": round(statistics.median(values)),
            f"{name}_{part}_ms_range": [round(min(values)), round(max(values))],
        }
    return found


def _inspector(page, wire: _Wire, address: str) -> list[dict]:
    """Click cells of the map of filters on the page Look inside; the inspector stands above it."""
    page.goto(f"{address}/inside")
    wait_for_figure(page)
    settled(page)
    # The middle of each little pattern of a row: 12 columns, 6 rows.
    return [
        _timed(
            page,
            wire,
            "inspector",
            _cell(page, "filters", (turn % 11 + 0.4) / 12, (turn % 5 + 0.4) / 6),
        )
        for turn in range(TURNS)
    ]


def _inspector_over_masks(page, wire: _Wire, address: str) -> list[dict]:
    """Click cells of the masks, and time the inspector that opens over the page."""
    page.goto(f"{address}/masks")
    wait_for_figure(page)
    settled(page)
    times = []
    for turn in range(TURNS):
        times.append(
            _timed(page, wire, "inspector", _cell(page, "masks", 0.27, 0.05 + 0.9 * turn / TURNS))
        )
        page.keyboard.press("Escape")
        page.get_by_role("dialog").wait_for(state="hidden")
        settled(page)
    return times


def _what_if(page, wire: _Wire, address: str) -> list[dict]:
    """Remove a multiplet and bring it back; the bars of the classes follow."""
    page.goto(f"{address}/whatif?position=7")
    wait_for_figure(page)
    settled(page)
    return [
        _timed(page, wire, "classes", _button(page, ("Remove it", "Undo")[turn % 2]))
        for turn in range(TURNS + 1)
    ]


def _time_slider(page, wire: _Wire, address: str) -> list[dict]:
    """Train for some steps, then go back and forth through them."""
    page.goto(f"{address}/train?preset=quick&steps={STEPS}")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url(re.compile("model=2"), timeout=120_000)
    page.get_by_test_id("stSidebar").get_by_role("link", name="Time travel").click()
    page.get_by_role("heading", name="Time travel", level=1).wait_for()
    wait_for_figure(page)
    settled(page)
    names = ["Step back"] * (TURNS // 2 + 1) + ["Step forward"] * (TURNS // 2)
    return [_timed(page, wire, "overview", _button(page, name)) for name in names]


def run() -> dict:
    """Return milliseconds from the press of the mouse to the painted figure, from the request to the server's last answer, and computed."""
    found = {}
    with served() as (address, pid), chromium() as browser:
        for part in (_inspector, _inspector_over_masks, _what_if, _time_slider):
            page = browser.new_context(viewport={"width": 1366, "height": 900}).new_page()
            found |= _measured(part.__name__.strip("_"), part(page, _Wire(page, pid), address))
            page.context.close()
    return found | {"turns": TURNS}
