"""Settings: where the fields of events and items are."""

from streamrec.settings.types import Name, Section

FORGET = "forget"
"""The type of a message without an item: all that is known of its user is dropped."""


MERGE = "merge"
"""The type of a message without an item: what a visitor did was this user's."""


class FieldMapping(Section, frozen=True, kw_only=True):
    """Where an event's fields are, in the JSON of an existing topic and in files: dotted paths."""

    user: Name = "user"
    """Path of the user id."""
    item: Name = "item"
    """Path of the item id."""
    type: Name = "type"
    """Path of the event type."""
    ts: Name = "ts"
    """Path of the event time: epoch milliseconds or RFC 3339."""
    id: Name = "id"
    """Path of the event id, used to drop duplicates."""
    value: Name = "value"
    """Path of the event's value."""
    segment: Name = "segment"
    """Path of the user's segment, e.g. a country or a device, whose own popularity is kept."""
    visitor: Name = "from"
    """Path of the visitor's id, in a message that says who the visitor is."""
    personal: Name = "personal"
    """Path of whether the user may be remembered; false: only the item learns of the event."""


class ItemMapping(Section, frozen=True, kw_only=True):
    """Where an item's fields are in files: names of columns, or dotted paths."""

    item: Name = "item"
    """Path of the item id."""
    title: Name = "title"
    """Path of the title."""
    categories: Name = "categories"
    """Path of the categories: a list, or text with | between them."""
    text: Name = "text"
    """Path of the text."""
    available: Name = "available"
    """Path of whether it may be recommended: true, false, or the number in stock."""
    attributes: Name = "attributes"
    """Path of an object with attributes; columns that are not named here are some too."""
