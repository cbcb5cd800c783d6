#!/usr/bin/env python3
"""Tables of what was measured, in bench/README.md and docs/SCALING.md: `bench/report.py` renews them from the newest results."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
DOCUMENTS = (HERE / "README.md", HERE.parent / "docs/SCALING.md")
PEER = "socket.io, MongoDB"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
# The columns of each scenario.
Column = tuple[str, Callable[[dict], float | None]]


def cpu(measured: dict, process: str) -> float | None:
    return measured["cpu_seconds"].get(process)


def each(seconds: float | None, count: float) -> float | None:
    """Microseconds of CPU for one of so many."""
    return None if seconds is None else seconds / count * 1e6


CHAT: list[Column] = [
    ("messages/s", lambda one: one["messages"] / one["seconds"]),
    ("deliveries/s", lambda one: one["deliveries"] / one["seconds"]),
    ("µs of server a message", lambda one: each(cpu(one, "server"), one["messages"])),
    ("µs of server a delivery", lambda one: each(cpu(one, "server"), one["deliveries"])),
    ("µs of mongod a message", lambda one: each(cpu(one, "database"), one["messages"])),
    ("ack p50, ms", lambda one: one["ack_ms"]["p50"]),
    ("ack p99, ms", lambda one: one["ack_ms"]["p99"]),
    ("orders in a room", lambda one: one["orders_in_one_room"]),
]
REST: list[Column] = [
    ("KiB a socket", lambda one: (one["resident"]["server"] - one["resident_before"]["server"]) / one["sockets"] / 1024),
    ("µs a connect", lambda one: each(one["connect"]["cpu_seconds"]["server"], one["sockets"])),
    ("µs a socket and second at rest", lambda one: each(cpu(one["idle"], "server"), one["sockets"] * one["idle"]["seconds"])),
    ("µs a connect, all back at once", lambda one: each(one["storm"]["cpu_seconds"]["server"], one["sockets"])),
    ("seconds until all are back", lambda one: one["storm"]["seconds"]),
]


def newest() -> dict:
    return max((json.loads(path.read_text()) for path in RESULTS.glob("*.json")), key=lambda results: results["began"])


def tables(results: dict) -> str:
    """Everything, as Markdown."""
    size, machine, load = results["size"], results["machine"], results["load_before"]
    busy = "" if load is None else f". Load average before it began: {load:.1f}"
    head = (
        f"{results['began'][:10]}, commit {results['commit'][:9]}, on {machine['cores']} cores ({machine['processor']}) and {machine['memory_gib']} GiB; "
        + ", ".join(results["versions"].values())
        + f"{busy}. The middle of {size['rounds']} interleaved rounds."
    )
    one = f"One room of {size['people']}, of whom {size['speakers']} have {size['depth']} messages each under way without a pause"
    few = f"{size['small_rooms']} rooms of {size['small_members']}, in each of which one says a message when the last is heard"
    still = f"{size['people'] * size['sockets_each']} sockets in one room, at rest, then cut off and back at once"
    parts = ((one, "one room", CHAT), (few, "small rooms", CHAT), (still, "at rest", REST))
    whole = [part for part in parts if is_whole(results, part[1])]
    return "\n\n".join([head, *(f"{title}:\n\n{table(results, scenario, columns)}" for title, scenario, columns in whole)])


def is_whole(results: dict, scenario: str) -> bool:
    """Whether every arm has done every round: a run that was stopped shows what was done whole before."""
    done = [(one["arm"], one["round"]) for one in results["rounds"] if one["scenario"] == scenario]
    arms = {arm for arm, _ in done}
    return PEER in arms and len(done) == len(arms) * results["size"]["rounds"]


def table(results: dict, scenario: str, columns: list[Column]) -> str:
    rounds = [one for one in results["rounds"] if one["scenario"] == scenario]
    arms = list(dict.fromkeys(one["arm"] for one in rounds))
    lines = [f"| | {' | '.join(arms)} | {' | '.join(f'{arm} : socket.io' for arm in arms if arm != PEER)} |"]
    lines.append("|" + " --- |" * (2 * len(arms)))
    for title, value in columns:
        found = {arm: [value(one["measured"]) for one in rounds if one["arm"] == arm] for arm in arms}
        cells = [shown(None if None in found[arm] else median(found[arm])) for arm in arms]
        cells += [ratio(found[arm], found[PEER]) for arm in arms if arm != PEER]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def ratio(ours: list, theirs: list) -> str:
    """Round by round, for these ran side by side; the middle of it."""
    if None in ours or None in theirs or not all(theirs):
        return ""
    return shown(median(our / their for our, their in zip(ours, theirs, strict=True)))


def shown(value: float | None) -> str:
    """Three digits."""
    if value is None:
        return ""
    if value >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"


def renewed(document: str, tables: str) -> str:
    """The document with these tables between its marks."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    assert len(pattern.findall(document)) == 1, f"a document needs one pair of {BEGIN} and {END}"
    return pattern.sub(lambda _: f"{BEGIN}\n{tables}\n{END}", document)


def main() -> None:
    for path in DOCUMENTS:
        path.write_text(renewed(path.read_text(), tables(newest())))


if __name__ == "__main__":
    main()
