"""A fairer model, and what it costs."""
