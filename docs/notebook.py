# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A shop's log, from a frame to lists
#
# Everything here runs in one process: no Kafka, no Redis. It needs the extras `files` and `report`,
# and pandas. `jupytext --to ipynb notebook.py` makes a notebook of this file; it is a program, too.
#
# The log is invented: people buy tea things or cycling things, in baskets.

# %%
import numpy as np
import pandas as pd

import streamrec

rng = np.random.default_rng(7)
THINGS = {"tea": ["cup", "pot", "sieve", "tray"], "cycling": ["bell", "lamp", "lock", "pump"]}
KINDS = {kind: [f"{t} {n}" for n in range(1, 9) for t in each] for kind, each in THINGS.items()}
share = 1 / np.arange(3.0, 35.0)  # the first of each kind are bought the most
rows, now = [], pd.Timestamp("2024-03-01", tz="UTC")
for _ in range(500):
    person = int(rng.integers(60))
    likes = KINDS["tea" if person % 2 else "cycling"]
    now += pd.Timedelta(minutes=int(rng.integers(1, 90)))
    for item in rng.choice(likes, 3, replace=False, p=share / share.sum()):
        rows.append({"user": f"p{person}", "item": str(item), "type": "purchase", "ts": now})
log = pd.DataFrame(rows)
items = pd.DataFrame(
    {"item": item, "title": f"{kind} {item}", "categories": kind, "price": n + 1.0}
    for kind, each in KINDS.items()
    for n, item in enumerate(each)
)
log.tail(3)

# %% [markdown]
# ## How good would the lists have been?
#
# Each event is first looked up in the list that its user would have had, then learnt. A peer is any
# object with `recommend` and `learn`; this one knows what each person bought most often.


# %%
class Often:
    """Lists what a person took most often."""

    def __init__(self):
        self.counts = {}

    def recommend(self, user, k):
        """Return up to k ids, best first."""
        counts = self.counts.get(user, {})
        return sorted(counts, key=counts.get, reverse=True)[:k]

    def learn(self, event):
        """Count the event."""
        counts = self.counts.setdefault(event["user"], {})
        counts[event["item"]] = counts.get(event["item"], 0) + 1


result = streamrec.evaluate(log, profile="shop", items=items, peers={"often": Often()})
result

# %%
result.table[["list", "recall@10", "ndcg@10"]]

# %% [markdown]
# Is the blend ahead of the peer, and how sure is that? The interval is paired, and drawn in blocks
# of neighbouring events. `result.report("report.html")` writes it all as a page with plots.

# %%
ahead = result.interval("blend", "often", metric="ndcg@10")
ahead

# %% [markdown]
# ## Learn it, and ask
#
# A `Recommender` that learnt the log makes the lists that the evaluation ended with. It goes on
# with single events: a click is in the next list.

# %%
shop = streamrec.Recommender(profile="shop").learn(log, items=items)
ids, scores = shop.recommend("p3", k=5)
pd.DataFrame({"item": ids, "score": scores})

# %%
event = {"user": "guest", "item": "pump 1", "type": "click", "ts": "2024-06-01T12:00:00Z"}
before, after = shop.recommend("guest", k=5).ids, shop.learn(event).recommend("guest", k=5).ids
list(before), list(after)

# %% [markdown]
# Filters hold of what is listed; `similar` says what follows an item; `explain` why one is listed.

# %%
cheap = shop.recommend("p3", k=5, filter='price < 15 and "tea" in categories').ids
list(cheap), list(shop.similar("cup 1", k=3).ids)

# %%
why = shop.explain("p3", ids[0])
pd.Series(why.parts).sort_values(ascending=False).head(5)

# %% [markdown]
# ## Keep it
#
# The file is written whole or not at all, and what is loaded goes on as if it had never been saved.

# %%
file = shop.save("shop.streamrec")
again = streamrec.Recommender.load(file)
(again.recommend("p3", k=5).scores == scores).all()
