# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Users' requests, as a process of its own, and what became of every one of them.

Two kinds of clients: `new` opens a connection for each request; `reused` keeps its
connection and opens another one only when the server said that it closes this one.
Nothing is ever asked a second time: what a user would have seen fail has failed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import dataclasses
import itertools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import typing as t
from collections import Counter

Kind = t.Literal["new", "reused"]
KINDS: tuple[Kind, ...] = ("new", "reused")
# The range that NodePorts are taken from, on the loopback: no other traffic ever.
ADDRESS = re.compile(r"http://127\.0\.0\.1:(3[0-2]\d{3})/")
LONGEST = 3600.0
FASTEST = 500.0
TIMEOUT = 5.0
OK = "ok"


@dataclasses.dataclass(frozen=True)
class Answer:
    """One request; `start` and `end` are seconds of CLOCK_MONOTONIC."""

    kind: Kind
    client: int
    start: float
    end: float
    outcome: str
    """`ok`, or what went wrong."""
    version: str
    pod: str

    @property
    def ok(self) -> bool:
        return self.outcome == OK


@dataclasses.dataclass(frozen=True)
class Span:
    """When a version answered first and last; seconds of CLOCK_MONOTONIC."""

    first: float
    last: float


class Answers:
    """All requests of a span of time, in the order of their ends."""

    def __init__(self, answers: t.Iterable[Answer]) -> None:
        self.all = sorted(answers, key=lambda answer: answer.end)

    def __len__(self) -> int:
        return len(self.all)

    def of(self, kind: Kind) -> Answers:
        return Answers(answer for answer in self.all if answer.kind == kind)

    def since(self, instant: float) -> Answers:
        """Return those of the requests that began at or after the instant."""
        return Answers(answer for answer in self.all if answer.start >= instant)

    def until(self, instant: float) -> Answers:
        """Return those of the requests that began before the instant."""
        return Answers(answer for answer in self.all if answer.start < instant)

    @property
    def errors(self) -> list[Answer]:
        return [answer for answer in self.all if not answer.ok]

    @property
    def rate(self) -> float:
        """Requests a second, from the first one's begin to the last one's end."""
        if not self.all:
            return 0.0
        begin = min(answer.start for answer in self.all)
        return len(self.all) / max(self.all[-1].end - begin, 1e-9)

    @property
    def versions(self) -> dict[str, Span]:
        """The first and the last answer of each version."""
        spans: dict[str, Span] = {}
        for answer in self.all:
            if answer.ok:
                known = spans.get(answer.version)
                first = known.first if known else answer.end
                spans[answer.version] = Span(first, answer.end)
        return spans

    @property
    def pods(self) -> set[str]:
        return {answer.pod for answer in self.all if answer.ok}

    @property
    def longest_gap(self) -> float:
        """The longest time, in seconds, in which no request succeeded."""
        good = [answer.end for answer in self.all if answer.ok]
        if not self.all or not good:
            return float("inf")
        ends = [min(answer.start for answer in self.all), *good, self.all[-1].end]
        return max(after - before for before, after in itertools.pairwise(ends))

    def __str__(self) -> str:
        lines = []
        for kind in KINDS:
            part = self.of(kind)
            if len(part):
                lines.append(part.line(kind))
        return "\n".join(lines)

    def line(self, name: str) -> str:
        """Return what a person wants to know, in a line."""
        versions = Counter(answer.version for answer in self.all if answer.ok)
        by_version = ", ".join(f"{v}: {n}" for v, n in sorted(versions.items()))
        wrong = Counter(answer.outcome for answer in self.errors)
        what = "; ".join(f"{n} x {error}" for error, n in wrong.most_common(3))
        return (
            f"{name:7} {len(self):6} requests, {self.rate:5.0f}/s,"
            f" {len(self.errors)} errors, longest gap {self.longest_gap * 1000:.0f} ms"
            f" ({by_version}){': ' + what if what else ''}"
        )


class Load:
    """A running load; the process ends with this one, and by itself in the end.

    :param address: `http://127.0.0.1:<NodePort>/`.
    :param rate: of each kind, requests a second of all its clients together.
    :param seconds: when it ends by itself.
    """

    def __init__(
        self,
        address: str,
        folder: pathlib.Path,
        *,
        clients: int = 12,
        rate: float = 100,
        seconds: float = 600,
        kinds: t.Sequence[Kind] = KINDS,
    ) -> None:
        port_of(address)
        self._log = folder / f"load-{time.monotonic_ns()}.csv"
        self._errors = self._log.with_suffix(".errors")
        command = [
            *(sys.executable, __file__, address, str(self._log)),
            *(f"--clients={clients}", f"--rate={rate}", f"--seconds={seconds}"),
            *(f"--kind={kind}" for kind in kinds),
            f"--end-with={os.getpid()}",
        ]
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors
            )

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def answers(self) -> Answers:
        """Return all requests that have ended so far."""
        if not self._log.exists():
            return Answers([])
        text = self._log.read_text()
        # The last line may still be being written.
        lines = text[: text.rfind("\n") + 1].splitlines()
        return Answers(parsed(row) for row in csv.reader(lines))

    def stop(self) -> Answers:
        """End the load, let requests that are under way end; return all of them."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(TIMEOUT + 10)
        if code != 0:
            raise RuntimeError(
                f"the load ended with {code}:\n{self._errors.read_text()[-2000:]}"
            )
        return self.answers()


def port_of(address: str) -> int:
    """Return the port; anything but a NodePort on 127.0.0.1 is a ValueError."""
    match = ADDRESS.fullmatch(address)
    if match is None or not 30000 <= int(match[1]) <= 32767:
        raise ValueError(
            f"the load's address is {address!r}; it goes to a NodePort on this machine"
            " and nowhere else: http://127.0.0.1:<30000 to 32767>/"
        )
    return int(match[1])


def parsed(row: t.Sequence[str]) -> Answer:
    kind, client, start, end, outcome, version, pod = row
    return Answer(
        "new" if kind == "new" else "reused",
        int(client),
        float(start),
        float(end),
        outcome,
        version,
        pod,
    )


# --- the process


class FailedError(Exception):
    """A request that did not get its answer, and why."""


class Client:
    """One user: asks at its own pace, one request after the other."""

    def __init__(self, kind: Kind, number: int, port: int) -> None:
        self._kind = kind
        self._number = number
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self) -> Answer:
        start = time.monotonic()
        try:
            said = await asyncio.wait_for(self._ask(), TIMEOUT)
            outcome, version, pod = OK, str(said["version"]), str(said["pod"])
        except (FailedError, OSError, asyncio.TimeoutError, ValueError) as error:
            self.close()
            outcome, version, pod = describe(error), "", ""
        end = time.monotonic()
        return Answer(self._kind, self._number, start, end, outcome, version, pod)

    async def _ask(self) -> dict[str, t.Any]:
        reused = self._writer is not None
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(
                "127.0.0.1", self._port
            )
        closing = "Connection: close\r\n" if self._kind == "new" else ""
        request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n{closing}\r\n"
        self._writer.write(request.encode())
        await self._writer.drain()
        try:
            headers, body = await read_response(self._reader)
        except asyncio.IncompleteReadError as error:
            kind = "reused" if reused else "new"
            when = "in the middle of an answer" if error.partial else "with no answer"
            raise FailedError(f"{kind} connection closed {when}") from None
        if self._kind == "new" or headers.get("connection", "").lower() == "close":
            self.close()
        return t.cast("dict[str, t.Any]", json.loads(body))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


async def read_response(
    reader: asyncio.StreamReader,
) -> tuple[dict[str, str], bytes]:
    """Return the headers, by lower-case name, and the body of a 200."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status, *lines = head.rstrip().split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _colon, value in pairs}
    if "content-length" not in headers:
        raise FailedError(f"an answer of unknown length: {status}")
    body = await reader.readexactly(int(headers["content-length"]))
    if status.split()[1] != "200":
        raise FailedError(f"answered {status}")
    return headers, body


def describe(error: BaseException) -> str:
    if isinstance(error, FailedError):
        return str(error)
    if isinstance(error, asyncio.TimeoutError):
        return f"no answer within {TIMEOUT:.0f} s"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return f"{type(error).__name__}: {error}"


class Generator:
    """All clients; each has its turn every `interval`, evenly spread."""

    def __init__(self, arguments: argparse.Namespace, log: t.TextIO) -> None:
        self._stop = asyncio.Event()
        self._interval = arguments.clients / arguments.rate
        port = port_of(arguments.address)
        self._clients = [
            Client(kind, number, port)
            for number in range(arguments.clients)
            for kind in arguments.kind
        ]
        self._end = time.monotonic() + arguments.seconds
        self._owner = arguments.end_with
        self._log = log
        self._rows = csv.writer(log)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        begin = time.monotonic()
        turns = [
            self._serve(client, begin + self._interval * place / len(self._clients))
            for place, client in enumerate(self._clients)
        ]
        await asyncio.gather(self._watch_owner(), *turns)

    async def _serve(self, client: Client, turn: float) -> None:
        while await self._wait_for(turn):
            answer = await client.ask()
            self._note(answer)
            # Never faster than asked for: a turn that was missed is not caught up on.
            turn = max(turn + self._interval, time.monotonic())
        client.close()

    async def _wait_for(self, turn: float) -> bool:
        """Return whether to go on, at that instant or, if it is over, at once."""
        delay = min(turn, self._end) - time.monotonic()
        if delay > 0:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stop.wait(), delay)
        return not self._stop.is_set() and time.monotonic() < self._end

    def _note(self, answer: Answer) -> None:
        self._rows.writerow(
            [
                *(answer.kind, answer.client),
                *(f"{answer.start:.6f}", f"{answer.end:.6f}"),
                *(answer.outcome, answer.version, answer.pod),
            ]
        )

    async def _watch_owner(self) -> None:
        while await self._wait_for(time.monotonic() + 0.1):
            # Ten times a second is often enough for who reads along.
            self._log.flush()
            if not pathlib.Path(f"/proc/{self._owner}").exists():
                self._stop.set()


def parser() -> argparse.ArgumentParser:
    summary = (__doc__ or "").partition("\n")[0]
    result = argparse.ArgumentParser(prog="load.py", description=summary)
    result.add_argument("address", help="http://127.0.0.1:<NodePort>/")
    result.add_argument("log", help="the file that gets a line for each request")
    result.add_argument("--clients", type=int, required=True, help="of each kind")
    result.add_argument("--rate", type=float, required=True, help="a second, each kind")
    result.add_argument("--seconds", type=float, required=True)
    result.add_argument("--kind", action="append", choices=KINDS, required=True)
    result.add_argument("--end-with", type=int, required=True, metavar="PID")
    return result


def main() -> None:
    arguments = parser().parse_args()
    arguments.rate = min(arguments.rate, FASTEST)
    arguments.seconds = min(arguments.seconds, LONGEST)
    with pathlib.Path(arguments.log).open("w", newline="") as log:
        asyncio.run(Generator(arguments, log).run())


if __name__ == "__main__":
    main()
