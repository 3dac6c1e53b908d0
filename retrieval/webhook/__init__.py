"""How is a message sent to an address that a tenant chose, without leaving what the operator allowed?"""
