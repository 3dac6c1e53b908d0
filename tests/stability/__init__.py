"""Campaigns that take a minute and more."""
