"""Compare with the tutorials and with other libraries, in turn within one run.

    python benchmarks/bench                     every question, within half an hour on two cores
    python benchmarks/bench steps dcgan         one of them, and a part of it
    python benchmarks/bench steps --rounds 9
    python benchmarks/bench steps fastai --peer fastai=/opt/fastai/bin/python
    python benchmarks/bench pages               only write the tables of the documents anew

Prints for each row how many times better ours is: the ratio of the medians over rounds, with the lowest and highest of
the rounds. Results are kept as dated JSON with the machine and versions, and fill the tables of docs/benchmarks.md.
"""

import argparse
import os
import sys
import time
import traceback
from pathlib import Path

from bench.alternation import Plan
from bench.pages import PAGES, fill, middle, ratio
from bench.questions import QUESTIONS, measure
from bench.table import RESULTS, Result, Row, machine, now

QUICK_ROUNDS = 2
PEER_NAMES = ("fastai", "torchgan", "lightweight-gan")


def main(words: list[str]) -> int:
    """Ask, print, keep, fill the tables. The exit code."""
    if words[:1] == ["inside"]:
        from bench.inside import main as alone

        alone(words[1:])
        return 0
    arguments = parsed(words)
    if arguments.question == "pages":
        fill(PAGES, arguments.out or RESULTS)
        return 0
    import torch

    threads = arguments.threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    # A part of a question would take the place of the whole answer.
    out = arguments.out or (None if arguments.quick or arguments.names else RESULTS)
    wanted = [arguments.question] if arguments.question else list(QUESTIONS)
    ends = time.monotonic() + 60 * arguments.minutes
    facts, failed = machine(threads), []
    print(", ".join(f"{key} {value}" for key, value in facts.items()), flush=True)
    for place, name in enumerate(wanted):
        left = sum(QUESTIONS[other].share for other in wanted[place:])
        seconds = max(ends - time.monotonic(), 0.0) * QUESTIONS[name].share / left
        plan = plan_of(arguments, threads, seconds)
        try:
            result = asked(name, plan, facts)
        except Exception:  # one question's trouble must not cost the answers to the others
            traceback.print_exc()
            failed.append(name)
            continue
        if out:
            result.write(out)
            fill(PAGES if out == RESULTS else (), out)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def asked(name: str, plan: Plan, facts: dict) -> Result:
    """One question's answer, printed row by row."""
    print(f"\n{QUESTIONS[name].title} ({name})", flush=True)
    began, made = time.monotonic(), now()
    rows = []
    for row in measure(name)(plan):
        print(line(row), flush=True)
        rows.append(row)
    for reason in plan.skipped:
        print(f"  not measured: {reason}", flush=True)
    return Result(name, rows, facts, tuple(plan.skipped), made, round(time.monotonic() - began, 1), plan.quick)


def line(row: Row) -> str:
    """A row in words."""
    arms = ", ".join(f"{arm} {middle(values)}" for arm, values in row.values.items())
    found = ratio(row.ratio).replace("*", "")
    told = [f"  {row.name}: {arms} {row.unit}", f"{found} times better" if found else "", row.note]
    return "; ".join(part for part in told if part)


def plan_of(arguments: argparse.Namespace, threads: int, seconds: float) -> Plan:
    """What was asked for, for one question."""
    return Plan(
        rounds=arguments.rounds or (QUICK_ROUNDS if arguments.quick else Plan.rounds),
        seconds=seconds,
        piece=0.0 if arguments.quick else Plan.piece,
        threads=threads,
        quick=arguments.quick,
        names=tuple(arguments.names),
        data=arguments.data,
        peers=dict(arguments.peer),
    )


def parsed(words: list[str]) -> argparse.Namespace:
    """The command line, checked."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="bench", description=__doc__, formatter_class=form)
    parser.add_argument("question", nargs="?", choices=[*QUESTIONS, "pages"], help="all of them if left out")
    parser.add_argument("names", nargs="*", help="parts of the question, such as dcgan")
    parser.add_argument("--rounds", type=at_least(1), default=0, help="turns of each arm; 5 if left out")
    parser.add_argument("--minutes", type=float, default=27.0, help="that all questions may take together, roughly")
    parser.add_argument("--threads", type=at_least(1), default=0, help="of PyTorch; all cores if left out")
    parser.add_argument(
        "--data", type=Path, help="a folder with mnist.npz and fashion-mnist.npz, for quality; left out without them"
    )
    parser.add_argument("--peer", type=peer, action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that all works; kept only with --out")
    parser.add_argument(
        "--out", type=Path, help="where results are kept; benchmarks/results if left out, and nowhere for parts"
    )
    arguments = parser.parse_args(words)
    known = QUESTIONS[arguments.question].names if arguments.question in QUESTIONS else ()
    if wrong := [name for name in arguments.names if name not in known]:
        expected = f"expected some of {', '.join(known)}" if known else "expected none"
        parser.error(f"{arguments.question} has no part {wrong[0]!r}; {expected}")
    return arguments


def peer(text: str) -> tuple[str, str]:
    """NAME=PYTHON in its parts."""
    name, _, command = text.partition("=")
    if name not in PEER_NAMES or not command:
        raise argparse.ArgumentTypeError(
            f"{text!r} names no peer; expected NAME=PYTHON with NAME one of {', '.join(PEER_NAMES)}"
        )
    return name, command


def at_least(least: int):
    """A whole number that is not smaller."""

    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least {least}")
        return int(text)

    return whole
