"""What is sent, and what is answered? The bodies of HTTP."""
