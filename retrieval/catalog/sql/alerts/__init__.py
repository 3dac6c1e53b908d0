"""Which thresholds does each tenant set, which runs breached them, and who is told?"""
