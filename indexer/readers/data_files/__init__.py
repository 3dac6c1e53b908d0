"""Parsers of tables and JSON files that stand among other files of a folder.

A file with an id and a text in its records becomes a document for each. Any other is one document that shows all of it.
"""
