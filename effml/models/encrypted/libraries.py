"""Back ends by name, imported when asked for."""

from __future__ import annotations

from typing import Any

from effml.errors import UserError

BACKENDS = ("sealapi", "pyfhel")
PUBLIC_KEY = "public.key"


def library(name: str) -> Any:
    """The class of a back end; its `client` and `server` make one.

    Raises:
        UserError: no such back end.
        MissingRequirement: its library is not installed, with how to get it.
    """
    if name == "sealapi":
        from effml.models.encrypted.sealapi import SealApi, load

        load()
        return SealApi
    if name == "pyfhel":
        from effml.models.encrypted.pyfhel import PyfhelBackend, load

        load()
        return PyfhelBackend
    raise UserError(f"no back end '{name}'; there are {', '.join(BACKENDS)}")
