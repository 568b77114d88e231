"""Providers' keys at rest, sealed for project and name of the upstream."""

from control_plane.domain.seals import SealBroken, Seals, secret_of

__all__ = ["ModelKeys", "SealBroken", "secret_of"]


class ModelKeys(Seals):
    def __init__(self, secret: bytes) -> None:
        super().__init__(secret, table="model_upstreams")
