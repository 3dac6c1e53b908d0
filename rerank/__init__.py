"""Here are candidates, which of them answer?"""
