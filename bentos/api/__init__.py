"""The HTTP API: the ASGI application, its routes, documents and web page."""
