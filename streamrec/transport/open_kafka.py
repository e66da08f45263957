"""Open the Kafka client that the settings ask for."""

from streamrec.errors import ConfigurationError
from streamrec.settings.sections import KafkaSettings
from streamrec.transport.kafka_log import Log


def open_kafka(settings: KafkaSettings, group: str | None = None) -> Log:
    """Return a Log on the settings' cluster; nothing connects before the first use.

    With `group` the Log can join that consumer group; without, it only produces and looks up.
    """
    if settings.client == "kafka-python":
        from streamrec.transport.kafka_python_log import KafkaPythonLog

        return KafkaPythonLog(settings, group)
    if settings.client == "confluent":
        try:
            from streamrec.transport.confluent_log import ConfluentLog
        except ImportError as error:
            raise ConfigurationError(
                f'kafka.client = "confluent" needs confluent-kafka ({error}): '
                "pip install 'streamrec[fast]', or set kafka.client = \"kafka-python\"."
            ) from None
        return ConfluentLog(settings, group)
    raise ConfigurationError(
        f"kafka.client = {settings.client!r} is not known: use kafka-python or confluent."
    )
