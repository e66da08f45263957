"""Invented shoppers who click for ever: the producer of docker compose --profile demo."""

import json
import os
import random
import time

from kafka import KafkaProducer

TASTES, ITEMS, USERS, CLICKS_A_SECOND = 12, 30, 400, 20.0


def main() -> None:
    """Send clicks: each shopper likes two kinds of items, and sometimes takes any other."""
    producer = KafkaProducer(bootstrap_servers=os.environ["STREAMREC_KAFKA"], acks="all")
    chance = random.Random(1)
    while True:
        user = chance.randrange(USERS)
        taste = (user if chance.random() < 0.7 else user * 7) % TASTES
        if chance.random() < 0.1:
            taste = chance.randrange(TASTES)
        item = int(ITEMS * chance.random() ** 2)
        event = {"user": f"u{user}", "item": f"kind{taste}-{item}", "type": "click"}
        producer.send("streamrec.events", json.dumps(event).encode(), key=f"u{user}".encode())
        time.sleep(1 / CLICKS_A_SECOND)


if __name__ == "__main__":
    main()
