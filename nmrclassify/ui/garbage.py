"""Garbage collection on the server: between the runs of pages, not after each of them.

Streamlit would collect after every run (`runner.postScriptGC`, off in .streamlit/config.toml). With
torch, scipy and Plotly loaded that visits some 300,000 objects that are never freed, and those of
all sessions, while nothing is sent: a quarter of the time of a server with fifteen visitors.
"""

import ctypes
import gc
import threading
import time
from contextlib import suppress
from itertools import count

# Memory pools of the C library, which has up to eight for each core otherwise: what a thread of a
# visitor freed in its own, no other thread would use.
_ARENAS, _M_ARENA_MAX = 2, -8
# Blocks of this many bytes, such as the activations of a whole test set, go back to the system when
# they are freed. The C library would raise the limit to 32 MB, and keep them in its pools.
_OWN_BLOCK, _M_MMAP_THRESHOLD = 2**20, -3
EVERY = 30.0  # seconds between two collections
_runs = count(1)


def run_started() -> None:
    """Note a run of a page; the second one starts the collections.

    All libraries are loaded by then: the present objects are excluded from garbage collection.
    The collections go on after the last visitor has left.
    """
    run = next(_runs)
    if run == 1:
        _c_library("mallopt", _M_ARENA_MAX, _ARENAS)
        _c_library("mallopt", _M_MMAP_THRESHOLD, _OWN_BLOCK)
    if run == 2:
        gc.collect()
        gc.freeze()
        threading.Thread(target=_collect_from_now_on, name="garbage", daemon=True).start()


def _collect_from_now_on() -> None:
    while True:
        time.sleep(EVERY)
        gc.collect()
        _c_library("malloc_trim", 0)  # give freed memory back to the system


def _c_library(function: str, *arguments: int) -> None:
    with suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL("libc.so.6")[function](*arguments)
