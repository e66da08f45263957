"""The bucket in Redis from which all scorers take what they keep for `train`."""

from streamrec.transport.redis.store import Store

READINGS = "sr:readings"
"""Bytes that the bucket holds, and as of when, in seconds by the clock of Redis."""

SETTLE = """
local rate, most, spent = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local held, at = string.match(redis.call('GET', KEYS[1]) or '', '^(%S+) (%S+)$')
held, at = tonumber(held) or most, tonumber(at) or now
held = math.min(most, held + rate * math.max(0, now - at)) - spent
redis.call('SET', KEYS[1], string.format('%.3f %.3f', held, now))
return string.format('%.3f', held)
"""


def settle_readings(store: Store, rate: float, most: float, spent: int) -> float:
    """Take `spent` bytes off a bucket that fills at `rate` bytes/s up to `most`; return the rest.

    A bucket that is not there yet is full. Raises StoreError.
    """
    return float(store.run([("EVAL", SETTLE, 1, READINGS, rate, most, spent)])[0])
