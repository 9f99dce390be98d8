"""Audits of how firmly a model decides."""
