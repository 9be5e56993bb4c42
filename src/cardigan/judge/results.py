"""What people's answers come to: shares with intervals, against guessing, and how far to trust them."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from cardigan.judge.answers import Answer, Answers
from cardigan.judge.session import FAILED, FASTEST, Plan
from cardigan.metrics.proportions import (
    LEVEL,
    Interval,
    answers_for_equivalence,
    answers_needed,
    binomial_test,
    bootstrap_raters,
    correlation_within,
    design_effect,
    wilson,
)
from cardigan.randomness import derive

ENOUGH_RATERS = 10
"""With fewer, results are called informal."""
MARGIN = 0.05
"""What would count as no different from guessing."""


@dataclass(frozen=True)
class Share:
    """Some answers out of others.

    Args:
        name: what they are.
        hits: how many.
        trials: out of how many, 1 at least.
    """

    name: str
    hits: int
    trials: int

    @property
    def value(self) -> float:
        """From 0 to 1."""
        return self.hits / self.trials

    @property
    def interval(self) -> Interval:
        """Wilson's, 95 %, as if all answers were independent."""
        return wilson(self.hits, self.trials)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.hits:,} of {self.trials:,}, {self.value:.0%} (95% interval {low:.0%} to {high:.0%})"


@dataclass(frozen=True)
class Rater:
    """One person's answers.

    Args:
        name: initials or a nickname.
        shares: as of all raters; empty if nothing was judged.
        left_out: why they are not counted, "" if they are.
    """

    name: str
    shares: tuple[Share, ...]
    left_out: str = ""


@dataclass(frozen=True)
class Results:
    """What the answers to a plan come to.

    Args:
        plan: what was asked.
        shares: of all who count; the first is the result, the others say what it hides. Empty if nobody counts.
        raters: all who answered, counted or not.
    """

    plan: Plan
    shares: tuple[Share, ...]
    raters: tuple[Rater, ...]

    @property
    def counted(self) -> list[Rater]:
        """The raters who count."""
        return [rater for rater in self.raters if not rater.left_out]

    @property
    def label(self) -> str:
        """How far to trust the numbers."""
        count = len(self.counted)
        if count == 1:
            return "Informal: one rater, a self-check."
        return f"Informal: {count} raters, fewer than {ENOUGH_RATERS}." if count < ENOUGH_RATERS else f"{count} raters."

    @property
    def effect(self) -> float:
        """How many answers of these raters tell as much as one of independent answers, 1 or more."""
        parts = [rater.shares[0] for rater in self.counted]
        if len(parts) < 2:
            return 1.0
        trials = [part.trials for part in parts]
        return max(1.0, design_effect(trials[0], correlation_within([part.hits for part in parts], trials)))

    @property
    def p_value(self) -> float:
        """How often guessing gives a share as far from one half; answers count as the design effect weighs them."""
        whole = self.shares[0]
        trials = max(1, round(whole.trials / self.effect))
        return binomial_test(round(whole.value * trials), trials)

    @property
    def other_raters(self) -> Interval | None:
        """The range of shares that other raters might give, 95 %; None with one rater."""
        parts = [rater.shares[0] for rater in self.counted]
        if len(parts) < 2:
            return None
        rng = np.random.default_rng(derive(self.plan.seed, "judge bootstrap"))
        return bootstrap_raters([part.hits for part in parts], [part.trials for part in parts], rng=rng)

    @property
    def headline(self) -> str:
        """The result in a sentence."""
        if not self.shares:
            return "There are no answers to count yet."
        whole = self.shares[0]
        if self.plan.task == "real-or-fake":
            return f"{self.plan.runs[0]}: {whole.value:.0%} of {whole.trials:,} answers were wrong."
        better = max(whole.value, 1 - whole.value)
        if whole.value == 0.5:
            return f"Of {whole.trials:,} pairs, each run was preferred in half."
        winner = self.plan.runs[0 if whole.value > 0.5 else 1]
        return f"{winner} was preferred in {better:.0%} of {whole.trials:,} pairs."

    @property
    def sentences(self) -> list[str]:
        """What the result means, and what it does not."""
        if not self.shares:
            return []
        told = [_scale(self.plan), _verdict(self), _needed(self.shares[0].trials, self.effect), *self.plan.notes]
        if self.other_raters:
            low, high = self.other_raters
            narrow = "; too narrow with so few" if len(self.counted) < ENOUGH_RATERS else ""
            told.insert(2, f"Other raters might have given {low:.0%} to {high:.0%} (95%, raters drawn anew{narrow}).")
        return told

    def describe(self) -> str:
        """All of it, for a terminal."""
        lines = [self.headline, self.label if self.counted else "", *self.sentences, ""]
        lines += [f"  {share.name}: {share}" for share in self.shares]
        lines += ["", *(f"  {told}" for told in map(_row, self.raters))] if self.raters else []
        return "\n".join(line for line, before in zip(lines, ["", *lines], strict=False) if line or before).rstrip()


def analyse(plan: Plan, answers: Answers) -> Results:
    """Count the answers by the plan's rules.

    Example:
        >>> from pathlib import Path
        >>> plan = Plan(task="preference", runs=("old", "new"), generators=("", ""), count=10, seed=0)
        >>> print(analyse(plan, Answers(Path("nothing.csv"))).describe())
        There are no answers to count yet.
    """
    given = {name: answers.of(name) for name in answers.raters}
    raters = tuple(
        Rater(name, _shares(plan, list(rows.values())), _left_out(plan, name, rows)) for name, rows in given.items()
    )
    counted = [row for rater in raters if not rater.left_out for row in given[rater.name].values()]
    return Results(plan, _shares(plan, counted), raters)


def _shares(plan: Plan, rows: Sequence[Answer]) -> tuple[Share, ...]:
    judged = [row for row in rows if row.part == "judged"]
    if plan.task == "real-or-fake":
        split = {
            "Wrong answers": judged,
            "Fake taken for real": [row for row in judged if row.expected == "fake"],
            "Real taken for fake": [row for row in judged if row.expected == "real"],
        }
        wrong = {name: sum(row.answer != row.expected for row in part) for name, part in split.items()}
        return tuple(Share(name, wrong[name], len(part)) for name, part in split.items() if part)
    if not judged:
        return ()
    first = sum(row.answer == "A" for row in judged)
    left = sum(row.left.startswith(row.answer) for row in judged)
    return Share(f"{plan.runs[0]} preferred", first, len(judged)), Share("Left picture preferred", left, len(judged))


def _left_out(plan: Plan, name: str, rows: dict[int, Answer]) -> str:
    """Why a rater does not count, by the rules of the plan; "" if they do."""
    asked = len(plan.trials(name))
    if len(rows) < asked:
        return f"not finished, {len(rows)} of {asked} answered"
    checks = [row for row in rows.values() if row.part == "check"]
    judged = [row for row in rows.values() if row.part == "judged"]
    failed = sum(row.answer != row.expected for row in checks)
    if failed >= FAILED:
        return f"{failed} of {len(checks)} checks wrong"
    # The same key all along: of a picture the same answer, of a pair the same side.
    if len({row.left.startswith(row.answer) if row.right else row.answer for row in judged}) == 1:
        return "the same answer to everything"
    if (typical := median(row.seconds for row in judged)) < FASTEST:
        return f"{typical:.2f} seconds for most answers"
    return ""


def _scale(plan: Plan) -> str:
    if plan.task == "real-or-fake":
        return "At 50%, real and fake cannot be told apart; at 0%, they always can."
    return "At 50%, neither is preferred."


def _verdict(results: Results) -> str:
    p, share = results.p_value, results.shares[0].value
    judging, winner = results.plan.task == "real-or-fake", results.plan.runs[0 if share > 0.5 else -1]
    told = f"{p:.0%}" if p >= 0.1 else f"{100 * p:.2g}%" if p >= 0.0001 else "less than 0.01%"
    chance = f"Mere guessing gives a result at least this far from 50% in {told} of cases"
    if p < LEVEL and judging and share < 0.5:
        return f"{chance}: fake was told from real."
    if p < LEVEL:
        return f"{chance}: {'fake looks more real than real' if judging else f'{winner} is preferred'}."
    missing = "does not show that fake can be told from real" if judging else "shows no preference"
    contrary = "that it cannot" if judging else "that there is none"
    return (
        f"{chance}, so this {missing}. Nor does it show {contrary}: for that, to within {100 * MARGIN:.0f} points, "
        f"about {answers_for_equivalence(MARGIN):,} answers are needed."
    )


def _needed(trials: int, effect: float) -> str:
    some, many = answers_needed(0.6), answers_needed(0.55)
    told = f"You need about {some:,} answers to tell 60% from 50%, and {many:,} for 55%. So far: {trials:,}"
    if effect == 1.0:
        return f"{told}."
    weight = f"they weigh like {trials / effect:,.0f}"
    return f"{told}; as one person's answers are alike (design effect {effect:.1f}), {weight}."


def _row(rater: Rater) -> str:
    told = ", ".join(f"{share.name.lower()} {share.hits} of {share.trials}" for share in rater.shares)
    return f"{rater.name}: {'left out, ' + rater.left_out if rater.left_out else told}"
