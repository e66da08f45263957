"""The dashboards by the file that each is written to."""

from streamrec.dashboards import kafka_redis, operations, quality
from streamrec.dashboards.grafana import to_json

FOLDER = "deploy/grafana/dashboards"
BOARDS = (operations.BOARD, quality.BOARD, kafka_redis.BOARD)


def files() -> dict[str, str]:
    """Return the JSON of every dashboard by its path in the repository."""
    return {f"{FOLDER}/{board.uid}.json": to_json(board) for board in BOARDS}
