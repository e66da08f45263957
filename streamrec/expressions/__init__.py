"""The language of filters and boosts: text in, a test of an item out. A leaf."""
