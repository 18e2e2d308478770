import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from ray_al.core.config import parse_config
from ray_al.scoring.batches import map_batches
from ray_al.scoring.inputs import InputFormat
from ray_al.scoring.readers import PixelReader


@pytest.fixture
def images(tmp_path):
    """Ten, of one value each; the fourth and the last two are broken."""
    made = []
    for number in range(10):
        path = tmp_path / f"{number}.png"
        if number in (3, 8, 9):
            path.write_bytes(b"no picture")
        else:
            Image.fromarray(np.full((20, 30, 3), number, np.uint8)).save(path)
        made.append(
            SimpleNamespace(
                row={"uri": str(path), "image_id": str(number), "height": 20, "width": 30}
            )
        )
    return made


def reader(threads):
    config = parse_config(
        {"data": {"image_size": [16, 24]}, "scoring": {"threads": threads}}, source="test"
    )
    return PixelReader(
        config, InputFormat(device="cpu", memory_format=torch.channels_last, dtype=torch.float32)
    )


def seen(members, inputs):
    pixels = inputs.images
    assert pixels.shape == (4, 16, 24, 3) and pixels.dtype == np.uint8
    assert (pixels[len(members) :] == pixels[len(members) - 1]).all()
    return [
        (image.row["image_id"], int(pixels[position].max()))
        for position, image in enumerate(members)
    ]


@pytest.mark.parametrize("worker_threads", [1, 3])
def test_batches_come_in_order_filled_up_and_without_broken_images(images, worker_threads):
    results, broken = zip(
        *map_batches(images, reader(worker_threads), 4, worker_threads, seen), strict=True
    )
    assert results == ([("0", 0), ("1", 1), ("2", 2)], [("4", 4), ("5", 5), ("6", 6), ("7", 7)], [])
    assert [[image_id for image_id, _ in errors] for errors in broken] == [["3"], [], ["8", "9"]]
    assert all("png" in message for errors in broken for _, message in errors)


def test_no_more_than_the_worker_threads_work_at_a_time(images):
    busy, most, lock, both = 0, 0, threading.Lock(), threading.Barrier(2)

    def work(members, inputs):
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        both.wait(timeout=60)  # a batch ends only while another one is at work
        with lock:
            busy -= 1
        return members

    assert len(list(map_batches(images[:3] * 12, reader(2), 2, 2, work))) == 18
    assert most == 2


def test_what_goes_wrong_in_a_batch_ends_the_shard(images):
    done = []

    def work(members, inputs):
        done.append(members)
        time.sleep(0.02)
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        list(map_batches(images[:3] * 40, reader(1), 1, 1, work))
    assert len(done) < 20
