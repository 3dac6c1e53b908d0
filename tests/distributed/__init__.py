"""Real Ray clusters on loopback: the same collection as the local engine's."""
