"""Which documents are in a collection of the field: shards, columnar files, TREC collections?"""
