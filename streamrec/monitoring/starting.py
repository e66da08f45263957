"""The first line that every role logs."""

import logging
import platform

from streamrec import __version__
from streamrec.monitoring.exposure import check_plaintext
from streamrec.monitoring.log_lines import without_password
from streamrec.settings.sections import Settings

logger = logging.getLogger(__name__)


def starting(settings: Settings, role: str) -> None:
    """Log which program this is, and what it will connect to.

    Raises ConfigurationError where that is another machine, in the clear, and nobody allowed it.
    """
    fields = {
        "role": role,
        "version": __version__,
        "python": platform.python_version(),
        "profile": settings.profile,
        "kafka": settings.kafka.brokers,
        "redis": without_password(settings.redis.url),
    }
    logger.info("starting", extra=fields)
    check_plaintext(settings)
