"""The page /console: what is served to a person, and what one click does to it."""
