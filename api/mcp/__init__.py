"""Tools for chatbots, by the Model Context Protocol (MCP): over HTTP at /mcp, and on standard streams."""
