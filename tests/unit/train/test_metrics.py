import numpy as np
import pytest

from ray_al.train.metrics import confusion_matrix, metrics_from_confusion


def test_ignored_pixels_do_not_count():
    matrix = confusion_matrix(np.array([0, 1, 1]), np.array([0, 1, 255]), 2)
    assert matrix.dtype == np.int64
    assert matrix.sum() == 2
    assert metrics_from_confusion(matrix, 1).miou == 1


def test_a_prediction_that_is_no_class_is_wrong():
    metrics = metrics_from_confusion(
        confusion_matrix(np.array([0, 255, 7]), np.array([0, 0, 1]), 2), 1
    )
    assert metrics.pixel_accuracy == pytest.approx(1 / 3)
    assert metrics.iou == (0.5, 0.0)


def test_absent_classes_are_none_and_not_in_the_mean():
    pred, target = (
        np.array([[0, 0], [1, 1]], dtype=np.uint8),
        np.array([[0, 1], [1, 1]], dtype=np.uint8),
    )
    metrics = metrics_from_confusion(confusion_matrix(pred, target, 3), 4)
    assert metrics.iou == (0.5, pytest.approx(2 / 3), None)
    assert metrics.miou == pytest.approx((0.5 + 2 / 3) / 2)
    assert metrics.pixel_accuracy == 0.75
    assert metrics.num_images == 4


def test_a_square_matrix_works_and_an_empty_one_gives_zero():
    assert metrics_from_confusion(np.eye(2, dtype=int), 1).miou == 1
    assert metrics_from_confusion(np.zeros((2, 2), dtype=int), 0).miou == 0
