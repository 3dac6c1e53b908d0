"""Asks a chat model of the operator for the question of a conversation. Knows no search."""
