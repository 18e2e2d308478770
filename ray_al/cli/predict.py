"""Commands that use a run's model outside the run."""

import sys
from collections.abc import Mapping
from typing import Any

import click

from ray_al import api
from ray_al.cli.options import echo, json_option, options, run_dir_argument
from ray_al.terminal import place, show_progress, stop_on_signals

FORM_NAMES = ("ids", "colors", "probabilities", "overlay")
FORMAT_NAMES = ("onnx", "torch")
SHOWN = 10
"""How many refused images are listed; the file `refused.csv` has all."""

cycle_option = click.option(
    "--cycle",
    type=click.IntRange(min=0),
    help="Take the model of this cycle. Default: the final model, or else that of the last cycle.",
)


@click.command()
@options(
    run_dir_argument,
    click.argument("images", nargs=-1, required=True, callback=place),
    click.option(
        "--out",
        required=True,
        metavar="DIR",
        callback=place,
        help="Folder or URI of the predictions: new, or of an earlier call, which is continued.",
    ),
    cycle_option,
    click.option(
        "--as",
        "forms",
        multiple=True,
        type=click.Choice(FORM_NAMES),
        default=("ids",),
        show_default=True,
        help="What is written, each below a folder of its own; may be given several times.",
    ),
    click.option(
        "--workers",
        type=click.IntRange(0, 10_000),
        default=0,
        show_default=True,
        help="Ray tasks at a time; 0 predicts in this process, without Ray.",
    ),
    click.option(
        "--gpus",
        type=click.FloatRange(min=0),
        default=0.0,
        show_default=True,
        help="GPUs of each worker, or a share of one.",
    ),
    click.option(
        "--batch-size",
        type=click.IntRange(1, 4096),
        help="Images that pass through the network together. Default: 1 on a CPU, 8 on a GPU, "
        "and features.batch_size for a frozen backbone.",
    ),
    click.option(
        "--threads",
        type=click.IntRange(1, 1024),
        default=2,
        show_default=True,
        help="Batches that each worker works on at a time.",
    ),
    json_option,
)
def predict(
    run_dir: str,
    images: tuple[str, ...],
    out: str,
    cycle: int | None,
    forms: tuple[str, ...],
    workers: int,
    gpus: float,
    batch_size: int | None,
    threads: int,
    as_json: bool,
) -> None:
    """Predict IMAGES, which are files, folders, patterns or URIs, with the model of a run.

    Predictions have the size of their image. Exit code 1 if an image could not be used.

    Example: ray-al predict runs/first photos/ --as colors --as overlay --out predictions
    """
    with stop_on_signals() as stop, show_progress() as show:
        facts = api.predict_images(
            run_dir,
            images,
            out,
            cycle=cycle,
            forms=forms,
            workers=workers,
            gpus=gpus,
            batch_size=batch_size,
            threads=threads,
            should_stop=stop.is_set,
            on_progress=show,
        )
    echo(facts, _text(facts), as_json=as_json)
    sys.exit(1 if facts["refused"] else 0)


@click.command()
@options(
    run_dir_argument,
    click.option(
        "--format",
        "format_name",
        required=True,
        type=click.Choice(FORMAT_NAMES),
        help="onnx needs the extra ray_al[onnx]; torch writes a program of torch.export.",
    ),
    click.option(
        "--out",
        required=True,
        metavar="FILE",
        callback=place,
        help="The new file, a path or URI: *.onnx or *.pt2.",
    ),
    cycle_option,
    json_option,
)
def export(run_dir: str, format_name: str, out: str, cycle: int | None, as_json: bool) -> None:
    """Write the model of a run to a file that is used without ray_al, and check the file.

    The file takes images at the size of training: uint8 (batch, height, width, 3), or what
    data.channels and data.value_range ask for. It gives logits and class ids. Its metadata names
    its input, the classes, colours, sizes and normalization.

    Example: ray-al export runs/first --format onnx --out first.onnx
    """
    facts = api.export_model(run_dir, out, format_name=format_name, cycle=cycle)
    text = (
        f"wrote {_model(facts)}, {facts['bytes'] / 1e6:.1f} MB, to {out}\n"
        f"input: {facts['input'].replace('images: ', 'images, ', 1)}\n"
        f"output: logits and class_ids of {len(facts['classes'])} classes\n"
        f"checked: logits differ from the network's by at most "
        f"{facts['largest_difference']:.1g} of the largest ({facts['tolerance']:g} is allowed); "
        f"{facts['same_classes_as_predict']:.2%} of pixels have the class that predict gives"
    )
    echo(facts, text, as_json=as_json)


def _model(facts: Mapping[str, Any]) -> str:
    name = facts["model"]
    return "the final model" if name == "final" else f"the model of {name}"


def _text(facts: Mapping[str, Any]) -> str:
    """Return what was predicted, for people."""
    lines = [
        f"predicted {facts['predicted']} of {facts['images']} images with "
        f"{_model(facts)} in {facts['seconds']:.1f} s: {facts['out']}"
    ]
    if facts["skipped"]:
        lines.append(f"{facts['skipped']} were predicted before, and not again")
    refused = facts["refused"]
    lines += [f"refused {image['reason']}" for image in refused[:SHOWN]]
    if len(refused) > SHOWN:
        rest = len(refused) - SHOWN
        lines.append(f"and {rest} more refused; refused.csv in that folder lists all")
    return "\n".join(lines)
