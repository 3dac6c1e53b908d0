"""Which thresholds does each tenant set, which runs breached them, and which URL hears of it?"""
