"""What does this vLLM server answer, and may it be believed?"""
