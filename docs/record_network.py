"""Write docs/network.webp: the first page while Play runs, in Chromium.

python docs/record_network.py
"""

import io
import time
from pathlib import Path
from typing import Any

from PIL import Image

from nmrclassify.bench._browser import chromium, server, wait_for_network

FOLDER = Path(__file__).parent
SECONDS, EVERY = 20.0, 0.25
HOVERED = (("encoding", 0.62), ("mask 0", 0.62), ("multiplets 0", 0.74))


def record() -> None:
    """Play the whole network, then point at three maps."""
    frames, times = [], []
    with server() as address, chromium() as browser:
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        page.goto(address)
        wait_for_network(page)
        page.wait_for_timeout(3000)
        picture, tools = (
            page.locator(f".diagram .{name}").bounding_box() for name in ("picture", "tools")
        )
        assert picture is not None and tools is not None
        clip: Any = {
            "x": picture["x"] - 6,
            "y": tools["y"] - 4,
            "width": picture["width"] + 12,
            "height": picture["y"] + picture["height"] - tools["y"] + 34,
        }
        page.locator(".diagram").get_by_role("button", name="Play").click()
        began, left = time.monotonic(), list(HOVERED)
        while (spent := time.monotonic() - began) < SECONDS:
            if left and spent > 16 + 1.3 * (len(HOVERED) - len(left)):
                key, across = left.pop(0)
                box = page.locator(f"[data-key='{key}'] .map").first.bounding_box()
                assert box is not None
                page.mouse.move(box["x"] + across * box["width"], box["y"] + box["height"] / 2)
            shot = io.BytesIO(page.screenshot(clip=clip))
            frames.append(Image.open(shot).convert("RGB"))
            times.append(time.monotonic() - began)
            time.sleep(max(0.0, EVERY * len(frames) - (time.monotonic() - began)))
    durations = [round(1000 * (b - a)) for a, b in zip(times, [*times[1:], SECONDS], strict=True)]
    frames[0].save(
        FOLDER / "network.webp",
        save_all=True,
        append_images=frames[1:],
        duration=[max(duration, 20) for duration in durations],
        loop=0,
        quality=55,
        method=4,
    )


if __name__ == "__main__":
    record()
