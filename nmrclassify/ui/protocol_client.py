"""A visitor without a browser: speaks the app's websocket protocol, for measurements of the server.

The server computes and sends what it would for a browser; nothing is drawn.
"""

import asyncio
import time
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import connect


class Visitor:
    """One visitor: requests pages, and what the open page requests by itself.

    Parameters
    ----------
    query : str
        Parameters of the link that is opened first.
    """

    def __init__(self, address: str, query: str = ""):
        self._address, self._query = address.replace("http", "ws") + "/_stcore/stream", query
        self._page = ""
        self._pages: dict[str, str] = {}  # address of a page -> its name in the protocol
        self._buttons: dict[str, str] = {}  # label -> name in the protocol
        self._repeated: dict[str, float] = {}  # part of the page -> seconds between two runs
        self.exceptions: list[str] = []

    async def __aenter__(self) -> "Visitor":
        """Connect, and run the page of the link."""
        self._socket = await connect(self._address, max_size=None, subprotocols=["streamlit"])  # type: ignore[list-item]
        await self._run()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave."""
        await self._socket.close()

    @property
    def pages(self) -> list[str]:
        """The addresses of all pages."""
        return list(self._pages)

    async def open(self, page: str) -> float:
        """Change the page; return the seconds until the server has sent all of it."""
        self._page = self._pages[page]
        self._buttons, self._repeated = {}, {}
        return await self._run()

    async def press(self, label: str) -> None:
        """Press a button of the present page."""
        pressed = {"id": self._buttons[label], "trigger_value": True}
        await self._run(widget_states={"widgets": [pressed]})

    async def stay(self, seconds: float) -> None:
        """Stay on the page; its parts that run by themselves do so."""
        end, ran = time.monotonic() + seconds, dict.fromkeys(self._repeated, time.monotonic())
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.5))
            for part, every in list(self._repeated.items()):
                if time.monotonic() - ran.get(part, 0.0) >= every:
                    await self._run(fragment_id=part, is_auto_rerun=True)
                    ran[part] = time.monotonic()

    async def _run(self, **request: Any) -> float:
        """Request a run of the page, or of a part of it; return the seconds to its end."""
        state = {"query_string": self._query, "page_script_hash": self._page} | request
        began = time.perf_counter()
        await self._socket.send(BackMsg(rerun_script=ClientState(**state)).SerializeToString())
        while True:
            message = ForwardMsg.FromString(await self._socket.recv(decode=False))
            kind = message.WhichOneof("type")
            if kind in ("new_session", "navigation"):
                told = getattr(message, kind)
                self._page = told.page_script_hash
                self._pages |= {page.url_pathname: page.page_script_hash for page in told.app_pages}
            elif kind == "page_info_changed":
                self._query = message.page_info_changed.query_string
            elif kind == "auto_rerun":
                self._repeated[message.auto_rerun.fragment_id] = message.auto_rerun.interval
            elif kind == "stop_auto_rerun":
                self._repeated.pop(message.stop_auto_rerun.fragment_id, None)
            elif kind == "delta":
                self._see(message.delta.new_element)
            elif kind == "script_finished" and message.script_finished != (
                ForwardMsg.FINISHED_EARLY_FOR_RERUN
            ):
                return time.perf_counter() - began

    def _see(self, element: Any) -> None:
        kind = element.WhichOneof("type")
        if kind == "button":
            self._buttons[element.button.label] = element.button.id
        elif kind == "exception":
            self.exceptions.append(f"{element.exception.type}: {element.exception.message}")
