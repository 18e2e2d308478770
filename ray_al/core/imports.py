"""Import of functions and classes that users name as `package.module:function`."""

import importlib
from collections.abc import Callable
from typing import Any

from ray_al.core.errors import ConfigError


def import_function(key: str, name: str, *, wanted: str) -> Callable[..., Any]:
    """Return the function or class that the setting `key` names.

    Args:
        key: the setting, for messages.
        name: `package.module:function`.
        wanted: the kind of thing expected, for the message if it cannot be called.

    Raises:
        ConfigError: it cannot be imported, does not exist or cannot be called; with key, name and
            remedy.
    """
    module_name, _, attribute = name.partition(":")
    if not attribute.isidentifier() or not all(
        part.isidentifier() for part in module_name.split(".")
    ):
        raise ConfigError(
            f"{key} {name!r}: not of the form package.module:function; correct the name"
        )
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(
            f"{key} {name!r}: cannot import {module_name!r} ({error}); correct the name, install "
            "its package, or add the folder of your own module to PYTHONPATH "
            "(on a cluster, on every node)"
        ) from None
    except Exception as error:  # a user's module may raise anything while it is imported
        raise ConfigError(
            f"{key} {name!r}: {module_name} fails while it is imported: "
            f"{type(error).__name__}: {_line(error)}; correct it"
        ) from None
    if not hasattr(module, attribute):
        raise ConfigError(
            f"{key} {name!r}: {module_name} has no {attribute!r}; correct the part after the colon"
        )
    function = getattr(module, attribute)
    if not callable(function):
        raise ConfigError(
            f"{key} {name!r}: {attribute} is a {type(function).__name__} and cannot be called; "
            f"name {wanted}"
        )
    found: Callable[..., Any] = function
    return found


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
