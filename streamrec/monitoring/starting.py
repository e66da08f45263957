"""What every role does as it starts: the first line it logs; and when it is ready to work."""

import gc
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


def calm_collector() -> None:
    """Have the garbage collector leave alone what exists now, and look less often for the rest.

    Work makes many small objects but no cycles; a look at all that is loaded stops it for 60 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
