"""The configuration that a run's journal records, and a config.yaml that differs from it."""

import json

import pytest
from helpers.records import record

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError, StorageError
from ray_al.core.run_dir import RunDir
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef
from ray_al.driver.settings import settle_config
from ray_al.ledger import Journal, fold
from ray_al.ledger.config import config_facts, read_config
from ray_al.ledger.records import ConfigChanged

MANIFEST = {"path": "manifest.parquet", "size": 1, "sha256": "0"}
CREATED = {
    "name": "r",
    "manifest": MANIFEST,
    "num_images": 1,
    "num_regions": 1,
    "num_pixels": 1,
    "unit": "regions",
    "amount": 1,
}


@pytest.fixture(params=["now", "earlier version"])
def run(request, tmp_path):
    """A run directory of a configuration and an empty journal but for its first event."""
    storage = Storage(str(tmp_path / "run"))
    config = parse_config({"data": {"root": "/x", "class_names": ["sky", "no"]}}, source="c")
    facts = config_facts(config.to_yaml())
    if request.param == "earlier version":
        del facts["config_yaml"]
    storage.replace(RunDir.CONFIG, config.to_yaml().encode())
    Journal(storage).append(record("run_created", **{**CREATED, **facts}))
    return storage, config, request.param == "now"


def test_the_configuration_is_what_was_recorded(run):
    storage, config, _ = run
    assert read_config(storage) == config == read_config(storage, Journal(storage).events)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "- sky\n",
            "- sky\n  - bar\n",
            ["data.class_names is ['sky', 'bar', 'no']", "recorded ['sky', 'no']"],
        ),
        ("seed: 0\ndata", "seed: 1\ndata", ["seed is 1", "recorded 0"]),
        ("  root: /x\n", "", ["data.root is missing", "recorded '/x'"]),
        ("name: run", "name: run\nextra: 1", ["extra is 1", "recorded missing"]),
        ("name: run", "name: [", ["not valid YAML"]),
    ],
)
def test_a_changed_file_is_refused_with_what_differs(run, old, new, words):
    storage, config, knows = run
    text = config.to_yaml()
    assert old in text
    storage.replace(RunDir.CONFIG, text.replace(old, new).encode())
    with pytest.raises(ConfigError) as error:
        read_config(storage)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(f"{storage.root}/config.yaml: ")
    assert "ray-al resume RUN_DIR --set" in message
    for word in words if knows else ["digest"]:
        assert word in message
    storage.replace(RunDir.CONFIG, text.encode())
    assert read_config(storage) == config


@pytest.mark.parametrize("data", [b"", b"a: [", b"[1]", b"\xff\xfe", b"\0" * 100])
def test_a_damaged_file_is_refused(run, data):
    storage, _, _ = run
    storage.replace(RunDir.CONFIG, data)
    with pytest.raises(ConfigError, match=r"config\.yaml.*put it back"):
        read_config(storage)


def test_a_missing_file_is_written_again_or_named(run):
    storage, config, knows = run
    storage.remove(RunDir.CONFIG)
    if knows:  # the session that made the run ended before it wrote the file
        assert read_config(storage) == config
        settle_config(storage, Journal(storage).events)
        assert storage.read(RunDir.CONFIG) == config.to_yaml().encode()
    else:
        with pytest.raises(StorageError, match=r"config\.yaml: the file is missing"):
            read_config(storage)


def test_other_spaces_and_order_change_nothing(run):
    storage, config, knows = run
    values = json.dumps(dict(reversed(config.model_dump(mode="json").items())))
    storage.replace(RunDir.CONFIG, values.encode())
    if knows:
        assert read_config(storage) == config
    else:
        with pytest.raises(ConfigError, match="digest"):
            read_config(storage)


def test_a_change_that_was_recorded_counts_before_the_file_is_replaced(run):
    storage, config, _ = run
    changed = parse_config(
        {**config.model_dump(mode="json"), "scoring": {"workers": 3}}, source="c"
    )
    journal = Journal(storage)
    journal.append(
        ConfigChanged(**config_facts(changed.to_yaml()), changes={"scoring.workers": [1, 3]})
    )
    assert storage.read(RunDir.CONFIG) == config.to_yaml().encode()  # the session ended here
    assert read_config(storage) == changed
    settle_config(storage, journal.events)
    assert storage.read(RunDir.CONFIG) == changed.to_yaml().encode()
    state = fold(Journal(storage).events)
    assert state.created.config == FileRef.of(RunDir.CONFIG, storage.read(RunDir.CONFIG))
    assert state.created.name == "r"


def test_a_directory_without_events_is_no_run(tmp_path):
    storage = Storage(str(tmp_path))
    storage.replace(RunDir.CONFIG, b"name: r\n")
    with pytest.raises(ConfigError, match="not a run directory"):
        read_config(storage)
