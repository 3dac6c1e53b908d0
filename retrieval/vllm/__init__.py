"""What does this vLLM server answer, and can the answer be trusted?"""
