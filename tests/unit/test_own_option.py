"""`pytest --own`, which runs contract suites on a user's own variants."""

from collections.abc import Iterator

import pytest
from helpers import own_variants


@pytest.fixture(autouse=True)
def given() -> Iterator[None]:
    """Put back what this session was given."""
    kept = {setting: own_variants.own(setting) for setting in own_variants.SETTINGS}
    yield
    own_variants.take([f"{setting}={name}" for setting, names in kept.items() for name in names])


def test_variants_are_given_by_setting() -> None:
    own_variants.take(["regions=a:A", "label=b:B", "regions=c:C"])
    assert own_variants.own("regions") == ["a:A", "c:C"]
    assert own_variants.own("label") == ["b:B"]
    assert own_variants.own("budget.unit") == []
    own_variants.take([])
    assert own_variants.own("regions") == []


@pytest.mark.parametrize("option", ["regions", "regions=A", "region=a:A", ""])
def test_another_option_is_refused_with_what_to_write(option: str) -> None:
    own_variants.take(["regions=a:A"])
    with pytest.raises(ValueError, match=f"--own {option}: write SETTING=.*strategy.batch"):
        own_variants.take([option])
    assert own_variants.own("regions") == ["a:A"]


def test_a_module_without_an_example_is_named() -> None:
    with pytest.raises(LookupError, match="helpers.networks lacks the function write_example"):
        own_variants.example_of("helpers.networks:Wrapped", "write_example")
    assert own_variants.example_of("helpers.networks:Wrapped", "linear").__name__ == "linear"
