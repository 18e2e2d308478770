"""A sweep as a table, from the journals of its trials."""

from dataclasses import asdict, dataclass

from ray_al.core.shares import percent
from ray_al.core.storage import Storage
from ray_al.sweep.directory import read_outcome, read_sweep, read_trials, run_uri
from ray_al.sweep.progress import SweepProgress
from ray_al.sweep.reporting import budget_rows
from ray_al.sweep.states import TrialState, read_journal, read_state
from ray_al.sweep.trials import Trial


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """One trial of the table; None stands for a number that it does not have yet.

    Attributes:
        spent: units of the budget, of which `amount` may be spent in all.
        budget: share of the pool that is spent.
        run: place of the run directory.
    """

    trial: str
    group: str
    seed: int
    state: TrialState
    cycle: int | None
    spent: int
    amount: int | None
    budget: float | None
    miou: float | None
    aubc: float | None
    error: str | None
    run: str


@dataclass(frozen=True, kw_only=True)
class SweepTable:
    """All trials of a sweep, in the order of the plan."""

    sweep: str
    directory: str
    trials: tuple[TrialRow, ...]

    def as_dict(self) -> dict[str, object]:
        """Return the table as plain values for JSON."""
        return asdict(self)


def sweep_table(sweep_uri: str) -> SweepTable:
    """Read the table of a sweep directory."""
    storage = Storage(sweep_uri)
    sweep = read_sweep(storage)
    rows = tuple(_row(storage, trial) for trial in read_trials(storage))
    return SweepTable(sweep=sweep.name, directory=storage.root, trials=rows)


def _row(storage: Storage, trial: Trial) -> TrialRow:
    state = read_journal(storage, trial)
    rows = budget_rows(state) if state is not None else []
    last = rows[-1] if rows else None
    return TrialRow(
        trial=trial.name,
        group=trial.group,
        seed=trial.seed,
        state=read_state(storage, trial),
        cycle=last["cycle"] if last else None,
        spent=last["cost"] if last else 0,
        amount=state.amount if state is not None else None,
        budget=last["budget"] if last else None,
        miou=last["miou"] if last else None,
        aubc=last["aubc"] if last else None,
        error=read_outcome(storage, trial.name).error,
        run=run_uri(storage.root, trial.name),
    )


def sweep_text(table: SweepTable) -> str:
    """Return the table as text."""
    width = max(len(row.trial) for row in table.trials)
    head = f"{'trial':{width}s}  {'state':9s} {'cycle':>5s} {'spent':>9s} {'share':>7s}"
    lines = [f"{head} {'mIoU':>7s} {'AUBC':>7s}"]
    for row in table.trials:
        lines.append(_row_text(row, width))
        if row.error:
            lines.append(f"{'':{width}s}  error: {row.error}")
    lines.append(f"sweep directory: {table.directory}")
    return "\n".join(lines)


def _row_text(row: TrialRow, width: int) -> str:
    cycle = "-" if row.cycle is None else row.cycle
    spent = f"{row.spent}/{row.amount}" if row.amount is not None else "-"
    share = f"{percent(row.budget)} %" if row.budget is not None else "-"
    numbers = " ".join(
        f"{number:7.4f}" if number is not None else f"{'-':>7s}" for number in (row.miou, row.aubc)
    )
    return f"{row.trial:{width}s}  {row.state:9s} {cycle:>5} {spent:>9s} {share:>7s} {numbers}"


def progress_line(progress: SweepProgress) -> str:
    """Return the progress of a sweep as one line."""
    running = [
        f"{name} cycle {reached.cycle} {percent(reached.budget)} % mIoU {reached.miou:.3f}"
        for name in sorted(progress.running)
        if (reached := progress.reached.get(name))
    ]
    left = progress.seconds_left
    line = f"{len(progress.done)} of {progress.total} trials done"
    if left is not None:
        line += f", {left / 60:.0f} min left"
    return f"{line}; running: {'; '.join(running)}" if running else line
