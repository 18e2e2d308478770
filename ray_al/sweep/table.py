"""A sweep as a table: what its trials' ledgers say."""

from typing import Any

from ray_al.core.storage import Storage
from ray_al.sweep.plan import read_trials, run_uri
from ray_al.sweep.progress import Progress, seconds_left
from ray_al.sweep.trial import budget_rows, read_outcome
from ray_al.sweep.tuner import read_ledger, read_state, read_sweep


def sweep_facts(sweep_uri: str) -> dict[str, Any]:
    """The facts that `ray-al sweep --json` prints; a row a trial, in the order of the plan."""
    storage = Storage(sweep_uri)
    sweep = read_sweep(storage)
    rows = []
    for trial in read_trials(storage):
        state = read_ledger(storage, trial)
        last = (budget_rows(state) or [{}])[-1] if state is not None else {}
        rows.append(
            {
                "trial": trial.name,
                "group": trial.group,
                "seed": trial.seed,
                "state": read_state(storage, trial),
                "cycle": last.get("cycle"),
                "spent": last.get("cost", 0),
                "amount": state.amount if state is not None else None,
                "budget": last.get("budget"),
                "miou": last.get("miou"),
                "aubc": last.get("aubc"),
                "error": read_outcome(storage, trial.name).get("error"),
                "run": run_uri(storage.root, trial.name),
            }
        )
    return {"sweep": sweep.name, "directory": storage.root, "trials": rows}


def sweep_text(facts: dict[str, Any]) -> str:
    """The table for people."""
    width = max(len(row["trial"]) for row in facts["trials"])
    lines = [
        f"{'trial':{width}s}  {'state':9s} {'cycle':>5s} {'spent':>9s} {'share':>7s} {'mIoU':>7s} {'AUBC':>7s}"
    ]
    for row in facts["trials"]:
        spent = f"{row['spent']}/{row['amount']}" if row["amount"] is not None else "-"
        share = f"{100 * row['budget']:.2f} %" if row["budget"] is not None else "-"
        numbers = " ".join(
            f"{row[key]:7.4f}" if row[key] is not None else f"{'-':>7s}" for key in ("miou", "aubc")
        )
        cycle = "-" if row["cycle"] is None else row["cycle"]
        lines.append(
            f"{row['trial']:{width}s}  {row['state']:9s} {cycle:>5} {spent:>9s} {share:>7s} {numbers}"
        )
        if row["error"]:
            lines.append(f"{'':{width}s}  error: {row['error']}")
    lines.append(f"sweep directory: {facts['directory']}")
    return "\n".join(lines)


def progress_line(progress: Progress) -> str:
    """One line: what runs, how far, what is left."""
    running = [
        f"{name} cycle {row['cycle']} {100 * row['budget']:.1f} % mIoU {row['miou']:.3f}"
        for name in sorted(progress.running)
        if (row := progress.rows.get(name))
    ]
    left = seconds_left(progress)
    line = f"{len(progress.done)} of {progress.total} trials done" + (
        f", {left / 60:.0f} min left" if left is not None else ""
    )
    return f"{line}; running: {'; '.join(running)}" if running else line
