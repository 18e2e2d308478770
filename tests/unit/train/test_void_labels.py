"""Labels that are nothing but void teach nothing, and spoil nothing."""

import pytest
from helpers.small_training import train


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", {"kind": "dice", "cross_entropy": 1}])
def test_only_void_labels_give_no_loss(tmp_path, loss):
    result = train(tmp_path, void=True, loss=loss, class_weights="balanced", steps=2)
    assert [value for _, value in result.losses] == [0, 0]
    assert not any(result.class_pixels)
