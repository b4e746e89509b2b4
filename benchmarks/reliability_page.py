"""The page of benchmarks/reliability.py, from what it found."""

from __future__ import annotations

import os
import platform
from collections import Counter
from typing import Any

import duckdb


def page(found: dict[str, Any]) -> str:
    """Return what was found as a page; parts that were not run are left out."""
    numbers = " ".join(f"--{part} {told['number']}" for part, told in found.items())
    lines = [
        "# Reliability",
        "",
        f"Made by `python benchmarks/reliability.py {numbers}` (`--only` runs single parts) on {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, duckdb {duckdb.__version__}.",
    ]
    for part, say in SAID.items():
        if part in found:
            lines += ["", *say(Counter(found[part]["found"]) if part != "kills" else found[part]["found"])]
            lines += ["", found[part]["note"]] if "note" in found[part] else []
    return "\n".join([*lines, ""])


def _kills(killed: dict[str, dict[str, int]]) -> list[str]:
    columns = ("killed while at work", "had ended", "held before", "held after")
    total = sum(k.get(name, 0) for k in killed.values() for name in columns[:2])
    return [
        f"**Kills.** {total} steps were killed (SIGKILL) at a random moment. After each the registry opened, its chain "
        "verified, and it held exactly what it held before the step or after it; done again (after one kill in "
        "four), the "
        "step came to the same. No half load, no half cut, no half migration was to be seen.",
        "",
        "| step | killed while at work | had ended | held what was before | held what comes after |",
        "|---|---|---|---|---|",
        *(f"| {step} | " + " | ".join(str(k.get(name, 0)) for name in columns) + " |" for step, k in killed.items()),
    ]


def _files(c: Counter[str]) -> list[str]:
    files = c["files judged by row"] + c["files refused with one message"]
    return [
        f"**Spoilt files.** {files:,} files with {c['rows touched']:,} rows spoilt (cells of the wrong kind, "
        "quotes, zero "
        "bytes, other encodings, delimiters and line ends, bytes flipped, files cut short or random) were loaded. "
        f"{c['files judged by row']:,} were judged row by row: {c['rows in']:,} rows in = {c['rows accepted']:,} "
        "accepted + "
        f"{c['rows refused']:,} refused, each refusal with file, message and advice; "
        f"{c['files refused with one message']:,} were refused whole with one message. No traceback, no row "
        "unaccounted for."
    ]


def _rate(rate: dict[str, float]) -> list[str]:
    return [
        f"**Load rate.** {rate['rows']:,.0f} rows from CSV into an empty registry took {rate['seconds']:.1f} s, of "
        f"which the digests of the chain took {rate['digest']:.2f} s ({100 * rate['digest'] / rate['seconds']:.0f} %): "
        f"{rate['rows'] / rate['seconds']:,.0f} rows a second with history and chain, "
        f"{rate['rows'] / (rate['seconds'] - rate['digest']):,.0f} with the chain left out."
    ]


def _disks(d: Counter[str]) -> list[str]:
    full = {name.removesuffix(" full"): n for name, n in d.items() if name.endswith(" full")}
    done = sum(n for name, n in d.items() if name.endswith(" done"))
    by_step = ", ".join(f"{step} {n}" for step, n in full.items())
    return [
        f"**Full disk.** {sum(full.values()) + done} steps were run on a disk with room for between nothing and "
        "2.2 times "
        f"the registry. {sum(full.values())} found it full ({by_step}): each ended in one message, left nothing "
        "behind, and "
        "the registry opened, verified and held exactly what it held before; with room again, "
        f"{d['done again']} were done again and came to the same. {done} had room enough.",
        "",
        f"**Read-only disk.** {d['read-only']} steps, one of each kind, were refused in one message; the registry "
        "was read "
        "all the same.",
    ]


def _cuts(p: Counter[str]) -> list[str]:
    return [
        f"**Power cut.** {sum(p.values())} loads were killed at a random moment, and every file that the writer "
        "had under way "
        f"(in {p['cut short']} cases there were some) lost a random part of its end. The registry opened, "
        "verified and held "
        "what it held before the load or after it; done again (one in four), the load came to the same."
    ]


def _logs(w: Counter[str]) -> list[str]:
    return [
        "**A log cut short.** A registry has no log of its own beside it. Where another program had left one of "
        "ten commits, "
        f"cut short {sum(w.values())} times at random, {w['opened']} times the registry opened and verified with "
        "the commits "
        f"up to there and none after; {w['refused']} times one message said that it cannot be read."
    ]


SAID: dict[str, Any] = {
    "kills": _kills,
    "disks": _disks,
    "cuts": _cuts,
    "logs": _logs,
    "files": _files,
    "patients": _rate,
}
