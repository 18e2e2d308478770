"""The part of the Python door that takes a run's model out of it: predictions, and files.

`ray_al.api` exports these functions, too. They import torch at their call, which takes seconds.
"""

from collections.abc import Callable, Sequence
from typing import Any

from ray_al.directories import open_run


def predict_images(
    run_dir: str,
    images: Sequence[str],
    out: str,
    *,
    cycle: int | None = None,
    forms: Sequence[str] = ("ids",),
    workers: int = 0,
    gpus: float = 0.0,
    batch_size: int | None = None,
    threads: int = 2,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Predict images with a run's model, and write the predictions below a folder.

    The same call continues after an interruption: what is written is not made again.

    Args:
        run_dir: the run, which is only read.
        images: files, folders and patterns; paths or URIs.
        out: the folder: new, or with predictions of the same model; a path or URI.
        cycle: whose model predicts; None for the final model, or else that of the last cycle.
        forms: `ids` and `colors` (PNG masks of class ids, the second with the palette of the
            classes), `probabilities` (.npz) and `overlay` (JPEG).
        workers: Ray tasks at a time; 0 predicts in this process.
        gpus: GPUs of each worker.
        batch_size: images that pass through the network together; None for 1 on CPUs, 8 on GPUs,
            and `features.batch_size` for a frozen backbone.
        threads: batches that each worker works on at a time.
        should_stop: called several times a second; True ends the work.
        on_progress: receives one line about the progress.

    Returns:
        Among others `predicted` and `skipped` (counts) and `refused` (`image` and `reason` of each
        image that cannot be used).

    Raises:
        ConfigError: something cannot work; nothing was written.
        RayALError: the storage or the cluster failed.
    """
    from ray_al.predict.run import Resources
    from ray_al.predict.run import predict_images as predict

    open_run(run_dir)
    return predict(
        run_dir,
        images,
        out,
        cycle=cycle,
        forms=forms,
        resources=Resources(workers=workers, gpus=gpus, batch_size=batch_size, threads=threads),
        progress=lambda done, total: on_progress(f"predicted {done}/{total}"),
        should_stop=should_stop,
    )


def export_model(
    run_dir: str, out: str, *, format_name: str = "onnx", cycle: int | None = None
) -> dict[str, Any]:
    """Write a run's model to a file that is used without ray_al, and check the file.

    Args:
        run_dir: the run, which is only read.
        out: the new file; a path or URI.
        format_name: `onnx` (with the extra `ray_al[onnx]`), or `torch` (a `torch.export` program).
        cycle: whose model is exported; None for the final model, or else that of the last cycle.

    Returns:
        Among others `classes`, `image_size`, `input` and `output`, which are in the file's metadata
        too, and `largest_difference` between logits of the file and of the network.

    Raises:
        ConfigError: something cannot work; nothing was written.
        RayALError: the file computes other logits than the network; nothing was written.
    """
    from ray_al.predict.export import export_model as export

    open_run(run_dir)
    return export(run_dir, out, format_name, cycle=cycle)
