"""No command shows a secret: not at level debug, not in an error, not in a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from servers import KafkaServer, RedisServer

SECRETS = ("s3cr3tPW", "k4fkaPW", "k3yPW")
COMMANDS = [
    "recommend u1",
    "similar i1",
    "weights",
    "explain u1 i1",
    "export --state out",
    "audit",
    "doctor",
    "topics check",
    "topics create --partitions 1",
    "send u1 i1",
    "learn",
    "score",
]
SPELLINGS = [
    "redis://app:s3cr3tPW@{address}/0",
    "redis://:a#s3cr3tPW@{address}/0",
    "redis://:a/s3cr3tPW@{address}/0",
    "redis://:a[s3cr3tPW@{address}/0",
    "redis://{address}/0?password=s3cr3tPW",
    "redis://app:s3cr3tPW@{address}/0?decode_responses=true&foo=bar",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_planted_secrets_are_not_printed(
    spelling: str, kafka: KafkaServer, clean_redis: RedisServer, tmp_path: Path
) -> None:
    """Kafka is reached, and refuses or ignores the login; Redis knows no such user."""
    address = clean_redis.url.removeprefix("redis://").removesuffix("/0")
    environment = {name: v for name, v in os.environ.items() if not name.startswith("STREAMREC_")}
    environment |= {
        "STREAMREC_REDIS": spelling.format(address=address),
        "STREAMREC_KAFKA": kafka.address,
        "STREAMREC_KAFKA_CLIENT_SETTINGS": '{"security.protocol": "PLAINTEXT", '
        '"sasl.mechanism": "PLAIN", "sasl.username": "app", "sasl.password": "k4fkaPW", '
        '"ssl.key.password": "k3yPW"}',
        "STREAMREC_LOGGING_LEVEL": "debug",
    }
    code = f"""
import sys, threading, os
from streamrec.cli import main
for words in {COMMANDS!r}:
    sys.argv = ["streamrec", *words.split()]
    try:
        main()
    except SystemExit as end:
        print("===", words, end.code, file=sys.stderr)
"""
    commands = [sys.executable, "-c", code]
    done = subprocess.run(
        commands, capture_output=True, text=True, timeout=240, cwd=tmp_path, env=environment
    )
    output = done.stdout + done.stderr
    assert done.stderr.count("===") == len(COMMANDS), output[-2000:]
    assert "Traceback" not in output, output[-3000:]
    for secret in SECRETS:
        lines = [line for line in output.splitlines() if secret in line]
        assert not lines, lines[:3]
