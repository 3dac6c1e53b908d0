"""Which fields are sent, and which are answered?"""
