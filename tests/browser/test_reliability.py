"""A training goes on, or is found again, whatever happens between its browser and its process."""

import os
import re
import signal
import socket
import threading
from contextlib import suppress

import pytest
from playwright.sync_api import expect
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from websockets.sync.client import connect

from nmrclassify.bench import _browser
from nmrclassify.bench._browser import TRAINS, start_training
from nmrclassify.ui.session import COOKIE

LID_SECONDS = float(os.environ.get("NMRCLASSIFY_LID_SECONDS", "5"))  # 60 in the long form
TRAIN = "train?preset=quick&steps=50000&seed=4"
NONE = "There is no training in this visit yet"


class Line:
    """The network between browser and server, a proxy, which can be cut.

    Playwright can take a browser offline, but an open websocket stays open.
    """

    def __init__(self, server_port: int):
        self._server_port, self._whole = server_port, True
        self._near = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._near.getsockname()[1]}"
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._connect, daemon=True).start()

    def _connect(self):
        while True:
            ends = [self._near.accept()[0]]
            try:
                if not self._whole:
                    raise OSError("the network is down")
                ends.append(socket.create_connection(("127.0.0.1", self._server_port)))
            except OSError:
                ends[0].close()
                continue
            self._ends += ends
            for pair in (ends, ends[::-1]):
                threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source, target):
        with suppress(OSError):
            while content := source.recv(65536):
                target.sendall(content)
        for end in (source, target):
            self._close(end)

    def _close(self, end):
        with suppress(OSError):  # it is closed
            end.shutdown(socket.SHUT_RDWR)
        end.close()

    def cut(self):
        """Close all connections, and refuse new ones."""
        self._whole = False
        ends, self._ends = self._ends, []
        for end in ends:
            self._close(end)

    def mend(self):
        """Allow connections again."""
        self._whole = True


def wait_for_connection(page, state: str) -> None:
    """Wait until the page is CONNECTED, or has lost the server and is PINGING_SERVER."""
    page.locator(f"[data-test-connection-state={state}]").wait_for(timeout=120_000)


def steps(page) -> str:
    """The metric *Step*, such as 12 of 50,000."""
    return page.get_by_test_id("stMetricValue").first.inner_text()


def test_a_training_survives_f5_a_closed_lid_cleared_caches_and_a_closed_tab(visit):
    with _browser.server() as address:
        line = Line(int(address.rpartition(":")[2]))
        page = visit(f"{line.address}/{TRAIN}")
        start_training(page)
        page.reload()
        page.get_by_text(TRAINS).first.wait_for()
        line.cut()
        wait_for_connection(page, "PINGING_SERVER")
        page.wait_for_timeout(1000 * LID_SECONDS)
        before = steps(page)
        line.mend()
        wait_for_connection(page, "CONNECTED")
        page.get_by_text("Connection error").wait_for(state="hidden")
        expect(page.get_by_test_id("stMetricValue").first).not_to_have_text(before)
        page.get_by_text(TRAINS).first.wait_for()
        with connect(f"{address.replace('http', 'ws')}/_stcore/stream") as anybody:
            anybody.send(BackMsg(clear_cache=True).SerializeToString())
            anybody.send(BackMsg(rerun_script=ClientState()).SerializeToString())
            anybody.recv()
        page.reload()
        page.get_by_text(TRAINS).first.wait_for()
        (cookie,) = (c for c in page.context.cookies() if c["name"] == COOKIE)
        assert cookie["sameSite"] == "Strict"
        assert cookie["value"] not in page.url
        another_tab = page.context.new_page()
        page.close()
        another_tab.goto(f"{line.address}/{TRAIN}")
        another_tab.get_by_text(TRAINS).first.wait_for()
        stranger = visit(f"{address}/{TRAIN}")
        stranger.get_by_text(NONE).wait_for()
        another_tab.get_by_role("button", name="Stop").click()
        another_tab.get_by_text("Stopped at step").wait_for(timeout=120_000)


@pytest.mark.skipif(os.name != "posix", reason="signals and locks")
def test_runs_and_a_training_are_found_again_after_the_server_was_killed(visit, tmp_path):
    port, home = _browser.free_port(), tmp_path / "kept"
    home.mkdir()
    with _browser.served(home=home, port=port) as (address, process):
        page = visit(f"{address}/{TRAIN}")
        page.get_by_role("button", name="One step").click()
        page.get_by_text("Paused at step 1 of").wait_for()
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("Saved as run").wait_for()
        start_training(page)
        os.kill(process, signal.SIGKILL)
        wait_for_connection(page, "PINGING_SERVER")
    with _browser.served(home=home, port=port):
        wait_for_connection(page, "CONNECTED")  # by itself
        page.get_by_text(re.compile(r"stopped at step \d.* when the app ended")).wait_for(
            timeout=300_000
        )
        earlier = page.get_by_role("combobox", name="Run", exact=True)
        expect(earlier).to_have_value(re.compile("slots on quick · 1 steps"))
        stranger = visit(f"{address}/{TRAIN}")
        stranger.get_by_text(NONE).wait_for()
        expect(stranger.get_by_text("None.", exact=True)).to_be_visible()
        start_training(page, "Go on")
        expect(page.get_by_text("when the app ended")).to_be_hidden()
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("Saved as run").wait_for(timeout=120_000)
