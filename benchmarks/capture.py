"""What the capture of signals costs a server: processor time a request, watched and not.

Run: .venv/bin/python benchmarks/capture.py MODEL [--base MODEL] [--rounds 5] [--requests 1500] [--out FILE.json]. MODEL
is one that classifies or fills. Every round starts the real server once each way, in a new order, and asks it the same
texts, one a request, by four clients in another process. What counts is the processor time of server and workers from
the first to the last answer, the start left out; ratios are taken within a round. Two servers that do the same differ
by some 2 % here, so what capture does is also measured alone: the time of its own code for a text, where one, ten and
a thousand come between two writes.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

from unmask.host import processor_name
from unmask.inference.loading import load
from unmask.inference.task_predictor import TaskPredictor
from unmask.watch.live import Live
from unmask.watch.settings import WatchSettings
from unmask.watch.signals import Reader

TICK: Final = os.sysconf("SC_CLK_TCK")
CLIENTS: Final = 4
WAYS: Final = ("plain", "watched", "watched, sample of 1 %")
AT_ONCE: Final = (1, 10, 1000)
SENTENCE: Final = (
    "the array returns a copy of its values when no buffer was given and the shape of it is kept as it was before "
    "each call reads one block at a time and raises an error where the file ends too soon for what was asked"
)


def texts_of(count: int) -> list[str]:
    """Return ``count`` texts of 10 to 50 words."""
    chance = random.Random(0)
    return [" ".join(chance.choices(SENTENCE.split(), k=chance.randint(10, 50))) for _ in range(count)]


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process and of all below it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = {
        int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()
    }
    return (int(fields[11]) + int(fields[12])) / TICK + sum(map(processor_seconds, children))


def ask_all(port: int, path: str, bodies: list[bytes]) -> None:
    """Ask everything, by several clients at once."""

    def client(mine: list[bytes]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for body in mine:
            connection.request("POST", path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            said = answer.read()
            assert answer.status == 200, said[:200]

    threads = [threading.Thread(target=client, args=(bodies[n::CLIENTS],)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def serve(chosen: argparse.Namespace, way: str, path: str, bodies: list[bytes]) -> dict[str, float]:
    """Start a server, ask it everything and return its milliseconds of processor time a request."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        options = ["--watch", f"{folder}/watch", "--watch-sample", "1%" if "sample" in way else "0%"]
        options += ["--watch-base", chosen.base] if chosen.base else []
        words = ["serve", f"m={chosen.model}", "--port", str(port), *(options if way != "plain" else [])]
        server = subprocess.Popen([sys.executable, "-m", "unmask", *words], stderr=subprocess.DEVNULL)
        try:
            wait_for(port)
            ask_all(port, path, bodies[: len(bodies) // 10])
            before = processor_seconds(server.pid)
            ask_all(port, path, bodies)
            time.sleep(1.5)  # what was heard last is worked on
            found = {"cpu_ms": 1000 * (processor_seconds(server.pid) - before) / len(bodies)}
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)
    return found


def wait_for(port: int) -> None:
    """Wait until a server is ready."""
    for _ in range(900):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit("the server does not come up")


def alone(model: Path, texts: list[str]) -> dict[str, float]:
    """Return the microseconds of processor time that a text costs, by how many come between two writes."""
    loaded = load(model)
    answers: list[Any] = loaded.classify(texts) if isinstance(loaded, TaskPredictor) else [None] * len(texts)
    found = {}
    for count in AT_ONCE:
        with tempfile.TemporaryDirectory() as folder:
            live = Live(Path(folder), {"m": Reader.of(loaded)}, WatchSettings(sample=0.0))
            rounds = max(5, 2000 // count)
            for number in range(rounds + 2):
                if number == 2:  # the file is there by then
                    start = time.process_time()
                for n in range(count):
                    text = (number * count + n) % len(texts)
                    live.heard(
                        request_id=f"{number} {n}",
                        model="m",
                        task="classify",
                        time=time.time(),
                        seconds=0.01,
                        texts=[texts[text]],
                        answers=[answers[text]],
                    )
                live._drain()  # noqa: SLF001  # what its thread does
            found[str(count)] = 1e6 * (time.process_time() - start) / (rounds * count)
    return found


def main() -> None:
    """Measure, print a table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--base")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=1500)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    loaded = load(chosen.model)
    path = f"/{loaded.block.name}" if isinstance(loaded, TaskPredictor) else "/embed"
    texts = texts_of(chosen.requests)
    bodies = [json.dumps({"inputs": text}).encode() for text in texts]
    by_itself = alone(chosen.model, texts[:1000])
    print(f"alone, microseconds a text: {by_itself}", file=sys.stderr)
    chance, cpu = random.Random(0), {way: [] for way in WAYS}  # type: tuple[random.Random, dict[str, list[float]]]
    for number in range(chosen.rounds):
        for way in chance.sample(WAYS, len(WAYS)):
            cpu[way].append(serve(chosen, way, path, bodies)["cpu_ms"])
            print(f"round {number + 1}: {way}: {cpu[way][-1]:.3f} ms a request", file=sys.stderr)
    plain = statistics.median(cpu["plain"])
    print(f"{processor_name()}, {path}, {chosen.requests} requests, {chosen.rounds} rounds\n")
    print("| way | processor time a request, ms | beside plain, median (least to most) |\n| --- | ---: | ---: |")
    for way, found in cpu.items():
        ratios = [one / other - 1 for one, other in zip(found, cpu["plain"], strict=True)]
        spread = f"{statistics.median(ratios):+.1%} ({min(ratios):+.1%} to {max(ratios):+.1%})"
        print(f"| {way} | {statistics.median(found):.3f} | {spread} |")
    print("\n| texts between two writes | microseconds a text | of a request |\n| ---: | ---: | ---: |")
    for count, cost in by_itself.items():
        print(f"| {count} | {cost:.0f} | {cost / plain / 1000:.2%} |")
    if chosen.out:
        result = {"requests": chosen.requests, "cpu_ms": cpu, "alone_us": by_itself, "path": path}
        chosen.out.write_text(json.dumps({"processor": processor_name(), **result}, indent=2) + "\n")


if __name__ == "__main__":
    main()
