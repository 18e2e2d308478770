"""The section `scoring`: how the pool is scored."""

from typing import Annotated, Literal

from pydantic import Field

from ray_al.core.section import Count, Gpus, Section


class ScoringConfig(Section):
    """Settings of the work of scoring the pool; `strategy` says what is scored."""

    workers: Annotated[int, Field(ge=0, le=10_000)] = 1
    """Number of scoring tasks that run on Ray Data at a time; 0 scores in the driver's process,
    without Ray.
    """
    threads: Annotated[int, Field(ge=1, le=1024)] = 2
    """On CPUs, the number of batches computed in parallel, one thread per batch; the same number of
    threads decodes images.
    """
    batch_size: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] = "auto"
    """Number of images that are scored together; `auto` measures which size is fast."""
    precision: Literal["auto", "fp32", "bf16", "reference"] = "auto"
    """Number format of scoring; `auto` takes bfloat16 if the processor supports it, and
    `reference` leaves the network as it was trained.
    """
    shard_size: Count | Literal["auto"] = "auto"
    """Number of images in a task, the unit of work that is recorded and that is repeated after an
    interruption; `auto` follows from the pool.
    """
    gpus_per_worker: Gpus = 0.0
    """Number of GPUs of each scoring task: a share up to 1, or a whole number."""
    max_quarantined: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Largest share of the pool's images that may be unusable before the run ends."""
