"""Which commands store, list, export and delete judgments?"""
