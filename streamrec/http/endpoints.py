"""The table of all paths below /v1: who may ask, what is asked for, what is answered."""

from typing import Any, Literal, NamedTuple

from streamrec.client import Recommendations
from streamrec.http.rights import Right
from streamrec.http.shapes import (
    Accepted,
    AcceptedItem,
    Forgetting,
    PageOfLists,
    Popular,
    SentEvent,
    SentItem,
    SimilarItems,
    UserList,
)
from streamrec.inspection.answer import Answer


class Parameter(NamedTuple):
    """Something in the path or the query."""

    name: str
    place: Literal["path", "query"]
    schema: dict[str, Any]
    meaning: str
    example: object


class Endpoint(NamedTuple):
    """One path by one method. `name` says which function answers; see `application`."""

    name: str
    method: str
    path: str
    right: Right
    meaning: str
    parameters: tuple[Parameter, ...]
    answer: Any
    problems: tuple[int, ...]  # beyond those of all
    body: Any = None
    example: Any = None
    status: int = 200


TEXT = {"type": "string"}
USER = Parameter("user", "path", TEXT, "A user's id.", "u1")
ITEM = Parameter("item", "path", TEXT, "An item's id.", "i9")
PLACE = Parameter("place", "path", TEXT, "Where the list is shown: home, or of [places].", "home")
AT = Parameter("place", "query", TEXT, "The place of the list; home without.", "product")
WITH = Parameter("with", "query", TEXT, "The item that the place is asked for with.", "i3")
PLACES = Parameter("places", "query", TEXT, "Names of places, with commas; home without.", "home")
PRODUCT = PLACE._replace(meaning="A place of context item.", example="product")
CART = PLACE._replace(meaning="A place of context basket, or item.", example="cart")
ASKING = Parameter("user", "query", TEXT, "Whom it is for; without, for a stranger.", "u1")
IDS = {"type": "array", "items": TEXT, "maxItems": 100}
BASKET = Parameter("item", "query", IDS, "An item of the basket; repeat it.", ["i9", "i3"])
NUMBER = {"type": "integer", "minimum": 1, "maximum": 1000}
N = Parameter("n", "query", NUMBER, "So many items from the top.", 5)
OF = Parameter("of", "query", TEXT, "A category or a segment.", "kitchen")
FILTERS = {"type": "array", "items": TEXT, "maxItems": 10}
FILTER = Parameter(
    "filter", "query", FILTERS, "A list made now, of items for which all hold.", ['item != "i3"']
)

FLAG = {"type": "boolean"}
EXPLAIN = Parameter("explain", "query", FLAG, "A list made now, with shares of reasons.", True)

CLICK = {"user": "u1", "item": "i9", "type": "click", "id": "order-7-line-2"}
MERGE = {"user": "u1", "type": "merge", "from": "anon-9"}
TEA_POT = {"title": "A tea pot", "categories": ["kitchen"], "attributes": {"price": 12.5}}

ENDPOINTS = (
    Endpoint(
        *("getList", "GET", "/v1/users/{user}/lists/{place}", "read"),
        "The list of a user; the popular one for who has none.",
        (USER, PLACE, N, FILTER, EXPLAIN),
        UserList,
        (400, 404),
    ),
    Endpoint(
        *("getPage", "GET", "/v1/users/{user}/lists", "read"),
        "The lists of a user at several places, read at once; no item is in two of them.",
        (USER, N, PLACES),
        PageOfLists,
        (400, 404),
    ),
    Endpoint(
        *("explain", "GET", "/v1/users/{user}/explain/{item}", "read"),
        "Why an item is, or is not, in a list made now.",
        (USER, ITEM, AT, WITH),
        Answer,
        (400, 404),
    ),
    Endpoint(
        *("getSimilar", "GET", "/v1/items/{item}/similar", "read"),
        "Items most often taken after this one, and items like it.",
        (ITEM, N),
        SimilarItems,
        (400,),
    ),
    Endpoint(
        *("getItemList", "GET", "/v1/items/{item}/lists/{place}", "read"),
        "What fits a user on the page of an item.",
        (ITEM, PRODUCT, ASKING, N),
        Recommendations,
        (400, 404),
    ),
    Endpoint(
        *("getBasketList", "GET", "/v1/baskets/lists/{place}", "read"),
        "What fits a basket of items, and the user whose it is.",
        (CART, BASKET, ASKING, N),
        Recommendations,
        (400, 404),
    ),
    Endpoint(
        *("getPopular", "GET", "/v1/popular", "read"),
        "The list for strangers, or for those of a category or segment.",
        (N, OF),
        Popular,
        (400,),
    ),
    Endpoint(
        *("sendEvents", "POST", "/v1/events", "events"),
        "Send one event or an array of them; answered when Kafka has acknowledged.",
        (),
        Accepted,
        (400, 408, 413, 415, 422),
        body=SentEvent | list[SentEvent],
        example=[CLICK, {"user": "u1", "item": "i3", "type": "view"}, MERGE],
        status=202,
    ),
    Endpoint(
        *("putItem", "PUT", "/v1/items/{item}", "write"),
        "Send the whole metadata of an item; answered when Kafka has acknowledged.",
        (ITEM,),
        AcceptedItem,
        (408, 413, 415, 422),
        body=SentItem,
        example=TEA_POT,
        status=202,
    ),
    Endpoint(
        *("forgetUser", "DELETE", "/v1/users/{user}", "admin"),
        "Forget a user; answered when Kafka has acknowledged, and done some seconds later.",
        (USER,),
        Forgetting,
        (422,),
        status=202,
    ),
)
