"""Which wording of an instruction is best on judged queries, and is that chance?"""
