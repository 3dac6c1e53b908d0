"""Above which relevance is a stated share of what is shown relevant?"""
