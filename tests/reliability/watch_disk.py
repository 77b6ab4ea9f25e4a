"""Serves with a disk of its own for signals, which fills up and gets room again. Prints one line of JSON.

A script of its own: it is run in a namespace where it may mount a disk, by ``unshare -rm``.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.made_text import sentences
from tests.reliability.full_disk import mount
from tests.serving import Running

from unmask.watch.store import read

TEXTS = sentences(50)
SECONDS = 60


def main(model: Path, work: Path) -> dict[str, Any]:
    """Return what was answered and counted while the disk had room, was full, and had room again."""
    disk = work / "disk"
    disk.mkdir()
    mount("-t", "tmpfs", "-o", "size=160k", "none", str(disk))
    with Running({"m": model}, "--workers", "1", "--watch", str(disk)) as server:

        def ask(times: int) -> list[int]:
            return [server.post("/embed", {"inputs": TEXTS})[0] for _ in range(times)]

        def until(name: str, least: float) -> None:
            end = time.monotonic() + SECONDS
            while server.counted(name) < least and time.monotonic() < end:
                time.sleep(0.1)

        codes, end = ask(1), time.monotonic() + SECONDS
        until("unmask_watch_captured_total", 1)
        while not server.get("/watch.json")[1]["trouble"] and time.monotonic() < end:
            codes += ask(5)
        trouble = server.get("/watch.json")[1]["trouble"]
        codes += ask(500)  # more rows than may wait
        until("unmask_watch_dropped_total", 1)
        written, dropped = (server.counted(f"unmask_watch_{name}_total") for name in ("captured", "dropped"))
        mount("-o", "remount,size=64m", str(disk))
        until("unmask_watch_captured_total", written + 1)
        codes += ask(2)
        until("unmask_watch_captured_total", 50 * len(codes) - server.counted("unmask_watch_dropped_total"))
        counts = [server.counted(f"unmask_watch_{name}_total") for name in ("captured", "dropped")]
        code, said = server.stop()
    lines = [json.loads(line) for line in said.splitlines() if "watch" in line]
    return {
        "codes": codes, "trouble": trouble, "written": written, "dropped": dropped, "counts": counts,
        "rows": len(read(disk)), "exit": code, "said": lines,
    }  # fmt: skip


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))))
