"""What can be configured: sections, defaults, profiles, loading and checks."""
