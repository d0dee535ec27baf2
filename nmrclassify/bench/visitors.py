"""A class at work: 30 visitors change pages while eight train (minutes, Linux).

Visitors speak the app's websocket protocol, since 30 browsers would need more than this machine: a
page change is the time from the request to the end of the page, without drawing.
"""

import asyncio
import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nmrclassify.bench._browser import served

if TYPE_CHECKING:  # the package works without Streamlit
    from nmrclassify.ui.protocol_client import Visitor

VISITORS, TRAININGS, MINUTES = 30, 8, 5.0
STEPS = 400  # of a training: eight, two at a time, fit into five minutes
PAUSE = 2.0, 6.0  # seconds between two page changes
AFTER = 60  # seconds from the last visitor's leaving to the last reading of the memory


def _memory(pid: int) -> tuple[float, float]:
    """Return the MiB of the server alone, and with its trainings (shared memory counts once)."""

    def proportional(process: int) -> float:
        try:
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:
            return 0.0  # a training that has just ended
        return int(text.split("\nPss:")[1].split()[0]) / 1024

    children = Path(f"/proc/{pid}/task").glob("*/children")
    trainings = {int(child) for path in children for child in path.read_text().split()}
    resident = Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]
    return int(resident) / 1024, proportional(pid) + sum(map(proportional, trainings))


def _seconds_of_runs(pid: int) -> list[float]:
    """Return the seconds that each finished training of the server has computed."""
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    (home,) = (e.partition(b"=")[2] for e in environment if e.startswith(b"NMRCLASSIFY_HOME="))
    histories = (pd.read_csv(path) for path in Path(home.decode()).glob("runs/*/history.csv"))
    return [float(h["seconds"].iloc[-1]) for h in histories if h["step"].iloc[-1] == STEPS]


async def _train(visitor: "Visitor") -> None:
    await visitor.open("train")
    await visitor.press("Start")


async def _visit(
    address: str, number: int, end: float, trains: bool, changes: list[float]
) -> list[str]:
    """Visit until `end`; append the seconds of each page change, and return the exceptions."""
    from nmrclassify.ui.protocol_client import Visitor

    chance = random.Random(number)
    await asyncio.sleep(chance.uniform(0, 10))  # they do not all come at once
    async with Visitor(address, f"preset=quick&seed={number}&steps={STEPS}" * trains) as visitor:
        if trains:
            await _train(visitor)
        while time.monotonic() < end:
            await visitor.stay(chance.uniform(*PAUSE))
            changes.append(await visitor.open(chance.choice(visitor.pages)))
        return visitor.exceptions


async def _class(
    address: str, pid: int, visitors: int, trainings: int, minutes: float
) -> dict[str, Any]:
    from nmrclassify.ui.protocol_client import Visitor

    async with Visitor(address, f"preset=quick&steps={STEPS}") as first:
        for page in first.pages:  # warm
            await first.open(page)
        await _train(first)
        async with asyncio.timeout(15 * 60):
            while not (alone := _seconds_of_runs(pid)):
                await first.stay(1)
    end, changes = time.monotonic() + 60 * minutes, list[float]()
    visits = [
        asyncio.create_task(_visit(address, 100 + i, end, i < trainings, changes))
        for i in range(visitors)
    ]
    readings = [_memory(pid)]
    start = readings[0][0]
    while not all(visit.done() for visit in visits):
        await asyncio.sleep(1)
        readings.append(_memory(pid))
    exceptions = [text for visit in visits for text in visit.result()]
    await asyncio.sleep(AFTER)
    after = _memory(pid)[0]
    ratios = [seconds / alone[0] for seconds in _seconds_of_runs(pid) if seconds != alone[0]]
    return {
        "visitors": visitors,
        "minutes": minutes,
        "page_changes": len(changes),
        "page_change_seconds_median": round(float(np.median(changes)), 2),
        "page_change_seconds_95th": round(float(np.quantile(changes, 0.95)), 2),
        "page_change_seconds_max": round(max(changes), 2),
        "exceptions": len(exceptions),
        "first_exceptions": exceptions[:5],
        "trainings_wanted": trainings,
        "trainings_finished": len(ratios),
        "training_alone_seconds": round(alone[0], 1),
        "training_over_alone": [round(ratio, 2) for ratio in sorted(ratios)],
        "server_mib_start": round(start),
        "server_mib_at_most": round(max(server for server, _ in readings)),
        "server_and_trainings_mib_at_most": round(max(together for _, together in readings)),
        f"server_mib_{AFTER}_seconds_after": round(after),
        "server_change_percent": round(100 * (after - start) / start, 1),
    }


def run(visitors: int = VISITORS, trainings: int = TRAININGS, minutes: float = MINUTES) -> dict:
    """Return the seconds of page changes, how long trainings took, and the memory.

    A training's time is compared with that of the same training alone on the machine.
    """
    with served() as (address, pid):
        return asyncio.run(_class(address, pid, visitors, trainings, minutes)) | {
            "cores": os.cpu_count()
        }
