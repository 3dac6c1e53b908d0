"""Which operations has the service, and how do they look to clients that read OpenAPI?"""
