"""What an operator's tools get of a running service: traces, metrics, alerts, and a dashboard."""
