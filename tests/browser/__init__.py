"""Drives the page in a real browser: what installs one, a visit, and the check of accessibility."""
