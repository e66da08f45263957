"""The section of what may be open to other machines."""

from streamrec.settings.types import Section


class SecuritySettings(Section, frozen=True, kw_only=True):
    """What may be open to other machines; `streamrec doctor` lists what is."""

    allow_plaintext: bool = False
    """Talk to Kafka and Redis on other machines without TLS, e.g. in a network of containers."""
