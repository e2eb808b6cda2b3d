"""``PORTGUARD_*`` environment variables as one more source, read by pydantic-settings.

``PORTGUARD_MODE=heal``, ``PORTGUARD_PATHS__STATUS=/x`` (two underscores step into a table), lists and tables as JSON:
``PORTGUARD_ZONES__PRINTERS='["10.2.0.0/16"]'``. A role may stand alone, without JSON.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from portguard.config.schema import Document
from portguard.config.sources import ENVIRONMENT, Layer, take
from portguard.errors import Fault
from portguard.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portguard.config.lines import Place

PREFIX = "PORTGUARD_"
STEP = "__"


class _Settings(Document, BaseSettings):
    """The document as pydantic-settings wants to see it; it is never made, only asked for its fields."""

    model_config = SettingsConfigDict(arbitrary_types_allowed=True)


class _Source(EnvSettingsSource):
    """Variables of a given environment instead of the process's own."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        super().__init__(_Settings, case_sensitive=False, env_prefix=PREFIX, env_nested_delimiter=STEP)
        self.env_vars = {name.lower(): value for name, value in variables.items()}

    def decode_complex_value(self, field_name: str, field: Any, value: Any) -> Any:  # noqa: ARG002 - their signature
        """Read JSON, or leave the text alone: the schema then says in our words what it should be."""
        try:
            return json.loads(value)
        except ValueError:
            return value


def read_environment(environ: Mapping[str, str], digest: Any) -> tuple[Layer | None, list[Fault]]:
    """Read the variables that set something, and note those that mean nothing. They are added to the digest.

    The layer is None when no variable sets anything.
    """
    known = [name.upper() for name in Document.model_fields]
    variables: dict[str, str] = {}
    faults: list[Fault] = []
    for name in sorted(environ):
        if not name.startswith(PREFIX):
            continue
        top = name.removeprefix(PREFIX).split(STEP)[0]
        if top not in known:
            hint = did_you_mean(top, known)
            faults.append(
                Fault(file=ENVIRONMENT, path=name, message=f"sets nothing that portguard knows{hint}")
            )
            continue
        variables[name] = environ[name]
        take(digest, name.encode())
        take(digest, environ[name].encode(errors="surrogateescape"))
    if not variables:
        return None, faults
    return Layer(
        name=ENVIRONMENT, data=_Source(variables)(), variables={_place(name): name for name in variables}
    ), faults


def _place(name: str) -> Place:
    return tuple(name.removeprefix(PREFIX).lower().split(STEP))
