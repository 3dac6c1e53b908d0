"""What is asked and answered about thresholds and webhooks?"""
