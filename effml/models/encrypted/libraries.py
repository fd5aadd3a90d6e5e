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
    """
    if name == "sealapi":
        from effml.models.encrypted.sealapi import SealApi

        return SealApi
    if name == "pyfhel":
        from effml.models.encrypted.pyfhel import PyfhelBackend

        return PyfhelBackend
    raise UserError(f"no back end '{name}'; there are {', '.join(BACKENDS)}")
